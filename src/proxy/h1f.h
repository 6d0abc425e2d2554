/* SPDX-License-Identifier: Apache-2.0
 *
 * h1f: HTTP/1.1 towards the guest: reads requests from a chan one after the other, and gives each to an exchange. A request is
 * read only when the one before it is over. What cannot be read in exactly one way is answered with 400 (or the like), and the
 * connection closed.
 */
#ifndef SBX_PROXY_H1F_H
#define SBX_PROXY_H1F_H

#include "proxy/chan.h"
#include "proxy/exchange.h"

#define H1F_HEAD_MS 15000
#define H1F_IDLE_MS 60000

struct intercept;

/* Takes the connection and env's content over, also on failure (-ENOMEM: c was reset). */
int h1f_start(struct intercept *i, struct chan *c, const struct exchange_env *env);

#endif
