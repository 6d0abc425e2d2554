/* SPDX-License-Identifier: Apache-2.0
 *
 * h2f: HTTP/2 towards the guest: a server of at most H2CONN_STREAMS_MAX streams at a time, each an exchange. A message that HTTP/2
 * calls malformed is logged and reset (PROTOCOL_ERROR); one that is well-formed and refused is answered. CONNECT is not implemented.
 */
#ifndef SBX_PROXY_H2F_H
#define SBX_PROXY_H2F_H

#include "proxy/chan.h"
#include "proxy/exchange.h"

#define H2F_HEAD_MS 15000 /* for a header block, from its first frame's head */
#define H2F_IDLE_MS 60000 /* without a stream */

struct intercept;

/* As h1f_start. */
int h2f_start(struct intercept *i, struct chan *c, const struct exchange_env *env);

#endif
