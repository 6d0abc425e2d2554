/* SPDX-License-Identifier: Apache-2.0
 *
 * refusal: the page that a refused request gets: text for people and programs, what the guest said only in canonical form.
 */
#ifndef SBX_PROXY_REFUSAL_H
#define SBX_PROXY_REFUSAL_H

#include "base/buf.h"
#include "proxy/decide.h"
#include "wire/dest.h"

#define REFUSAL_MAX 8192

/* The text alone: "Blocked by network policy: domain example.com:443", then rule, origin, detail, and what would allow it. */
int refusal_text(struct buf *out, const struct dest *dest, const struct decision *dn);
/* As an HTTP/1.1 response that ends its connection. 0, -EMSGSIZE, -ENOMEM. */
int refusal_response(struct buf *out, int status, const struct dest *dest, const struct decision *dn);

#endif
