/* SPDX-License-Identifier: Apache-2.0
 *
 * page: the answer that the proxy gives by itself, as a page of plain text: what was refused, by which rule and whose, and what the
 * host's user could do about it.
 *
 *   Blocked by network policy: domain example.com:443       403; any other status: "502 Bad Gateway: example.com:443"
 *   rule: r12                                               the lines below only where there is something to say
 *   origin: preset balanced/default-os-packages
 *   reason: method
 *   detail: no rule allows POST example.com:443/x: ...
 *   remedy: sbx policy allow network ...
 */
#ifndef SBX_PROXY_PAGE_H
#define SBX_PROXY_PAGE_H

#include "base/buf.h"
#include "proxy/decide.h"
#include "wire/httpmsg.h"

/* In HTTP/1.1 the status line says it as well, for clients that show nothing else: "403 Blocked by network policy: rule r12". */
#define PAGE_MAX 8192

/* The page; -ENOMEM, -EMSGSIZE. dest: NULL where it is not known. */
int page_text(struct buf *out, int status, const struct dest *dest, const struct decision *dn);
/* Page and head as the bytes of an HTTP/1.1 response that ends its connection; -ENOMEM, -EMSGSIZE. */
int page_response(struct buf *out, int status, const struct dest *dest, const struct decision *dn);
/* The head of a response with a page of n bytes; to_head: without it. m is initialised here. */
int page_head(struct httpmsg *m, int status, const struct decision *dn, size_t n, bool to_head);
/* The status that tells a client of a decision's reason. */
int page_status(const struct decision *dn);

#endif
