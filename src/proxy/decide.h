/* SPDX-License-Identifier: Apache-2.0
 *
 * decide: the only caller of the policy. It is asked about a flow (journal.h): first without an address, then with each
 * address that would be dialled (dial does that), and for every request of an intercepted connection again. What it says is
 * a struct decision of its own, which stays valid when the policy changes.
 *
 *	w = decide_start(d, f, &decision, done, me);  // w: the user is being asked, done comes later
 *	if (!w) ... decision ...
 *	if (decision.allow) dial_start(...)           // decides the addresses, and records
 *	else decide_record(d, f, &decision)           // exactly one record per flow
 *
 * Before the first policy, everything is refused.
 */
#ifndef SBX_PROXY_DECIDE_H
#define SBX_PROXY_DECIDE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "policy/explain.h"
#include "policy/policy.h"
#include "proxy/journal.h"

#define DECIDE_ASKS_MAX 64       /* questions open at a time; past that the answer is no (reason "limit") */
#define DECIDE_WAITS_MAX 256     /* flows that wait for them */
#define DECIDE_ASK_SECONDS 60    /* for an answer, unless decide_set_ask_seconds says otherwise */
#define DECIDE_ASK_SECONDS_MAX 3600

struct decision {
	bool allow;
	bool asks;        /* the policy says `ask`: allow is what the user said, or false */
	bool by_rule;     /* a rule says so, not the absence of one */
	const char *reason; /* static: policy_reason_name(), or one of the proxy's own (docs/network.md) */
	char rule[RULE_ID_MAX + 1];
	char origin[EXPLAIN_ORIGIN_MAX];
	bool needs_inspection; /* its requests must be seen */
	bool splice;           /* its TLS must not be terminated */
	bool ssh;              /* any bytes, if they begin as SSH does on both sides */
	bool path_matters;     /* send the target in its canonical form only */
	uint64_t generation;   /* of the policy that said so */
	/* Of a refusal, for people: one line without a full stop; the host user's command that would help, or "". */
	char text[EXPLAIN_MAX];
	char remedy[EXPLAIN_REMEDY_MAX];
};

struct decide;
struct decide_wait; /* a flow that waits for the user's answer */
typedef void decide_done(void *user, const struct decision *d);

/* What decide says to the outside; called from the loop or inside decide_start. */
struct decide_ops {
	/* Tell the host's user: an event object, which the callee releases. */
	void (*event)(void *user, json_t *event);
};

/* NULL: out of memory. The journal is borrowed for its life. */
struct decide *decide_new(uv_loop_t *loop, struct journal *j, const struct decide_ops *ops, void *user);
void decide_free(struct decide *d);
/* The name that rules are scoped by; copied. */
void decide_set_sandbox(struct decide *d, const char *name);
/* Questions from now on are numbered from after this: a number that the user was shown by an earlier process must not mean another one. */
void decide_set_last_ask(struct decide *d, uint64_t last);
/* How long the user has for an answer, 1 to DECIDE_ASK_SECONDS_MAX; for questions from now on. */
void decide_set_ask_seconds(struct decide *d, unsigned int seconds);

/* Whether requests to a destination must be seen because of a credential; fn NULL: of none. */
void decide_set_bound(struct decide *d, bool (*fn)(void *user, const struct dest *dest), void *user);
/* Has every watch look again: something else than the policy has changed. */
void decide_look_again(struct decide *d);
/* Takes the policy over and has every watch look again. */
void decide_set_policy(struct decide *d, struct policy *p);
uint64_t decide_generation(const struct decide *d);
/* The user's answer to a question. Unknown ones are ignored. */
void decide_answer(struct decide *d, uint64_t ask, bool allow);

/* The verdict as it is, nobody asked: `ask` counts as refused (reason "ask") where asked is false, as allowed where it is true. at:
 * the address to be dialled, NULL before it is known. */
void decide_now(struct decide *d, const struct flow *f, const struct policy_address *at, bool asked, struct decision *ret);
/* Without an address. NULL: *ret is the decision. Else the user is asked: done is called with it once, from the loop, at the latest
 * when the time is over; f must live until then. A decision that the user allowed has asked = true. */
struct decide_wait *decide_start(struct decide *d, const struct flow *f, struct decision *ret, decide_done *done, void *user);
void decide_cancel(struct decide_wait *w); /* done is not called */
/* A refusal that is the proxy's own. reason is static; text as of struct decision. */
void decide_refuse(struct decide *d, const char *reason, const char *text, struct decision *ret);

/* Writes the decision's record, once per flow. 0, or -errno where the log cannot be written: then nothing may be forwarded, and
 * *dn has become a refusal with the reason "log". */
int decide_record(struct decide *d, struct flow *f, struct decision *dn);
/* The end of a recorded flow. */
void decide_end(struct decide *d, struct flow *f);

/* A live connection, told when the policy has changed: it asks decide_now again and ends where it is no longer allowed. Embedded in
 * its owner. `changed` may free its owner, and no other. */
struct decide_watch {
	struct decide_watch *prev, *next;
	struct decide *decide;
	void (*changed)(struct decide_watch *w);
};
void decide_watch_add(struct decide *d, struct decide_watch *w);
void decide_watch_remove(struct decide_watch *w); /* also where it was never added */

#endif
