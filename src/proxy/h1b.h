/* SPDX-License-Identifier: Apache-2.0
 *
 * h1b: HTTP/1.1 towards an origin. One request at a time, never a second before the first has its whole answer; whatever is not exactly one
 * well-formed answer to it ends the connection: bytes that nobody asked for, an answer that cannot be framed, an end in between.
 */
#ifndef SBX_PROXY_H1B_H
#define SBX_PROXY_H1B_H

#include "proxy/chan.h"
#include "proxy/origin.h"

/* c is owned from here on also on failure. NULL: out of memory. */
struct origin *h1b_new(struct pool *p, struct chan *c);

#endif
