/* SPDX-License-Identifier: Apache-2.0
 *
 * pool: connections to origins. It gives an exchange one that is idle, or makes a new one: dials (dial), and verifies the certificate
 * (tlsb) before anything of a request may be sent. Where there are as many as there may be, whoever asks waits in turn. The key is
 * (destination, TLS) and what an idle connection was opened under: it is used again only under the same generation of the policy,
 * after the policy was asked about its address, and for at most POOL_IDLE_MS; a new policy closes all idle ones.
 */
#ifndef SBX_PROXY_POOL_H
#define SBX_PROXY_POOL_H

#include "proxy/decide.h"
#include "proxy/dial.h"
#include "proxy/origin.h"

#define POOL_IDLE_MS 60000
#define POOL_PER_HOST 64
#define POOL_MAX 256
#define POOL_QUEUE_MAX 1024 /* requests that wait for one of these */
#define POOL_QUEUE_MS 60000

struct intercept;
struct pool_wait;

enum pool_flags {
	POOL_TLS = 1,
	POOL_ASKED = 2, /* the user allowed it */
	POOL_H1 = 4,    /* only HTTP/1.1 will do (WebSocket) */
};

struct pool_result {
	struct origin *origin; /* NULL: there is none, and the rest says why */
	/* As of dial.h: a refusal by the policy, or "unresolved", "unreachable", "timeout", "log", "limit", or "upstream_cert" (text tells why). */
	struct decision decision;
	bool recorded; /* the permission stands in the log, an end must follow */
};
typedef void pool_done(void *user, struct pool_result *r);

struct pool *pool_new(struct intercept *i);
void pool_free(struct pool *p); /* closes every origin */

/* An idle connection for an allowed flow that was not recorded yet; records it. NULL: there is none (ret->allow), or it may not be
 * (a refusal in *ret: the log cannot be written). */
struct origin *pool_take(struct pool *p, struct flow *f, unsigned int flags, struct decision *ret);
/* A new connection. f as of dial_start; where it is recorded already (a second try), no second record is written. done is called once, from the
 * loop, unless pool_cancel comes first. NULL: out of memory, or too many wait. While a connection to the same destination is being
 * made that may turn out to be HTTP/2, others wait for it and share it then. */
struct pool_wait *pool_dial(struct pool *p, struct flow *f, unsigned int flags, pool_done *done, void *user);
void pool_cancel(struct pool_wait *w);

/* --- for h1b and h2b --- */

/* A new origin joins; busy. */
void origin_init(struct origin *o, const struct origin_class *class, struct pool *p);
/* It can carry one more exchange; false: the pool does not want it, the caller closes it. */
bool origin_idle(struct origin *o);
void origin_busy(struct origin *o);
/* It is known how many streams it takes: whoever waited for that gets one, or makes a connection. Once, where `coming` was set. */
void origin_settled(struct origin *o);
/* Leaves the pool, before its memory goes. */
void origin_done(struct origin *o);

#endif
