/* SPDX-License-Identifier: Apache-2.0
 *
 * intercept: where the requests inside a connection are seen: plain HTTP, and TLS that is terminated. entry hands a connection
 * over here when the policy wants to see its requests, when it is plain HTTP, or to have a refusal told in words.
 */
#ifndef SBX_PROXY_INTERCEPT_H
#define SBX_PROXY_INTERCEPT_H

#include <stdbool.h>

#include "proxy/chan.h"
#include "proxy/decide.h"
#include "proxy/journal.h"

struct proxy;
struct intercept;
struct dues;
struct pool;
struct creds;
struct tlsb;

enum intercept_kind {
	INTERCEPT_HTTP,    /* requests in origin form to flow.dest */
	INTERCEPT_FORWARD, /* requests in absolute form to a proxy; flow.dest is that of the first, and each says its own */
	INTERCEPT_TLS,     /* a ClientHello comes first, its SNI is flow.dest's name (or absent); terminate it */
};

struct intercept_start {
	struct chan *chan; /* owned from here on; all bytes of the guest are still to be delivered by it */
	enum intercept_kind kind;
	struct flow flow;  /* req 0; conn, entry and dest are set. Not recorded */
	/* Set: the connection is refused, and that is recorded already. Say so in words (a 403 inside whatever it speaks; 502 for "unresolved"
	 * and "unreachable", 504 for "timeout"), forward nothing. NULL: decide each request. Borrowed for the call. */
	const struct decision *refusal;
	const char *asked; /* the rule by which the user allowed the connection: it need not ask about its requests, too. NULL; borrowed likewise */
};

/* NULL: out of memory. */
struct intercept *intercept_new(struct proxy *p);
void intercept_free(struct intercept *i);
/* Takes the connection over; where it cannot, it refuses (resets) and records that (fail closed). */
void intercept_begin(struct proxy *p, struct intercept_start *s);
/* Whether TLS can be terminated now: there is a keeper that signs. */
bool intercept_ready(const struct proxy *p);
/* Control messages; the descriptors are owned by the callee. */
void intercept_set_trust(struct proxy *p, int fd);
void intercept_set_keeper(struct proxy *p, int fd);
/* There is to be a keeper: until it has said what is bound, every https destination is. */
void intercept_await_keeper(struct proxy *p);

/* --- for the modules that intercept holds together --- */

struct proxy *intercept_proxy(const struct intercept *i);
struct dues *intercept_dues(struct intercept *i);
struct pool *intercept_pool(const struct intercept *i);
struct creds *intercept_creds(const struct intercept *i);
struct tlsb *intercept_tlsb(const struct intercept *i);

/* A connection of the guest that is being intercepted, whatever its state; embedded. */
struct intercept_conn {
	struct intercept *intercept; /* borrowed; NULL: not in the list */
	struct intercept_conn *prev, *next;
	bool refused; /* nothing is forwarded for it (exchange_env.refusal): it ends when the policy changes */
	uint64_t generation; /* of the policy when it was added */
	void (*cut)(struct intercept_conn *c); /* ends it at once: removes and frees it */
};
void intercept_conn_add(struct intercept *i, struct intercept_conn *c, bool refused, void (*cut)(struct intercept_conn *c));
void intercept_conn_remove(struct intercept_conn *c);

#endif
