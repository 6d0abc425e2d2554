/* SPDX-License-Identifier: Apache-2.0
 *
 * entry: what came in. Each connection, by the door or by a listening socket, is looked at without a byte of it going anywhere: where
 * it wants to (struct dest) and what it speaks. Then it is decided, and spliced to its origin, handed to intercept, or refused.
 *
 *   NULL destination: HTTP/1.1 to a proxy comes first; CONNECT is dealt with here, everything else is intercept's
 *   raw TCP allowed (a `tcp` rule): dialled at once, whatever it speaks; but where TLS or HTTP would be looked into, only what
 *     turns out to be neither, or stays silent
 *   TLS: SNI must be the destination's name; spliced, or terminated where the policy wants to see requests
 *   HTTP: intercept, which decides each request
 *   anything else: refused
 */
#ifndef SBX_PROXY_ENTRY_H
#define SBX_PROXY_ENTRY_H

#include "proxy/chan.h"
#include "wire/dest.h"

#define ENTRY_CONNS_MAX 1024    /* at a time; more are reset */
#define ENTRY_LOOK_MS 30000     /* how long a connection may take to say what it speaks: an emulated guest with much to do takes 10 s */
#define ENTRY_SILENCE_MS 500    /* the same where raw TCP is allowed, but TLS or HTTP would be looked into */
#define ENTRY_REFUSED_MS 2000   /* the same where whatever it speaks is refused */
#define ENTRY_HEAD_MS 15000     /* for a whole CONNECT head */

struct proxy;
struct conns;

/* NULL: out of memory. */
struct conns *conns_new(struct proxy *p);
/* Cuts every connection and logs its end. */
void conns_free(struct conns *cs);
/* Takes the chan over. dest: where to (transparent; its scheme means nothing); NULL: the forward proxy. */
void entry_begin(struct proxy *p, struct chan *chan, const struct dest *dest);

#endif
