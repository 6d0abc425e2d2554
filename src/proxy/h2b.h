/* SPDX-License-Identifier: Apache-2.0
 *
 * h2b: HTTP/2 towards an origin: a client of as many streams as the origin allows, H2CONN_STREAMS_MAX at most. As long as it can carry
 * one more it stands in the pool as idle. An origin's GOAWAY, or a new policy, lets the streams that are there end. What an
 * origin surely did not process (REFUSED_STREAM, past its GOAWAY) may be tried elsewhere. No push.
 */
#ifndef SBX_PROXY_H2B_H
#define SBX_PROXY_H2B_H

#include "proxy/chan.h"
#include "proxy/origin.h"

/* As h1b_new. */
struct origin *h2b_new(struct pool *p, struct chan *c, struct dues *dues);

#endif
