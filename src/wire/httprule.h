/* SPDX-License-Identifier: Apache-2.0
 *
 * httprule: what a head must be to have one meaning; the checks behind httpmsg.h, for it and its decoders alone. Nothing here
 * adds bytes or entries to a message.
 */
#ifndef SBX_WIRE_HTTPRULE_H
#define SBX_WIRE_HTTPRULE_H

#include "wire/httpmsg.h"

/* Fills *why (502 where m is a response) and returns -EPROTO. */
int httpmsg_refuse(const struct httpmsg *m, struct httpmsg_refusal *why, unsigned int status, const char *reason);

/* An upper-case token that may be used; sets m->method_id. */
int httprule_method(struct httpmsg *m, const char *s, size_t n, struct httpmsg_refusal *why);
/* An origin-form target, or "*" for OPTIONS. */
int httprule_path(const struct httpmsg *m, const char *s, size_t n, struct httpmsg_refusal *why);
/* Host, Content-Length, Transfer-Encoding. */
bool httprule_is_framing(enum httpmsg_field id);

#endif
