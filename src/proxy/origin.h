/* SPDX-License-Identifier: Apache-2.0
 *
 * origin: a connection to an origin, ready for exchanges: h1b carries one at a time, h2b many. The pool owns those that are
 * idle; a busy one ends by itself.
 *
 *   IDLE  in the pool, nothing is expected from the peer     BUSY  has as many exchanges as it can carry, or is not for reuse
 */
#ifndef SBX_PROXY_ORIGIN_H
#define SBX_PROXY_ORIGIN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "policy/policy.h"
#include "proxy/due.h"
#include "proxy/exchange.h"
#include "wire/dest.h"

struct origin;
struct pool;

struct origin_class {
	/* Takes an exchange: gives the ops and the side that it is to have as its back. -ENOMEM, -EBUSY. */
	int (*open)(struct origin *o, struct exchange *x, const struct exchange_ops **ret_ops, void **ret_side);
	/* Ends it at once; exchanges that it carries are aborted (GONE). */
	void (*close)(struct origin *o);
};

/* Embedded in h1b, h2b; origin_init by them, all else by the pool. */
struct origin {
	const struct origin_class *class; /* static */
	struct pool *pool;                /* borrowed */
	TAILQ_ENTRY(origin) link;         /* of all of the pool's */
	struct dest dest;
	bool tls;
	bool h2;
	struct policy_address at; /* where it is connected to */
	uint64_t generation;      /* of the policy when it was made */
	bool idle;                /* may be given out, for one more exchange */
	unsigned int active;      /* exchanges that it carries; its codec counts. The pool closes only those that carry none */
	bool coming;              /* h2: its settings have not come; others may wait for them (origin_settled) */
	bool reused;              /* was given out before */
	struct due due;
};

#endif
