/* SPDX-License-Identifier: Apache-2.0
 *
 * dial: from an allowed flow to a connected chan. It resolves the flow's name (resolve), asks the kernel about each address (route) and
 * the policy about each address (decide), writes the decision's record, and connects: to addresses that passed and to no other,
 * 250 ms apart, families in turn (RFC 8305), 10 s in all ("timeout"). Where the host has an upstream proxy, it asks that one for a tunnel to the
 * address that passed; it never falls back to a direct connection. host.docker.internal is the host's loopback.
 *
 * The record: a refusal, or, before the first packet to the destination, the permission. After done the flow has
 * `recorded`, and on success `address`; the owner writes the end (decide_end).
 */
#ifndef SBX_PROXY_DIAL_H
#define SBX_PROXY_DIAL_H

#include <stdbool.h>

#include "policy/policy.h"
#include "proxy/chan.h"
#include "proxy/decide.h"
#include "proxy/journal.h"

#define DIAL_STAGGER_MS 250
#define DIAL_TOTAL_MS 10000
#define DIAL_ADDRESSES_MAX 16 /* of a name, tried in turn */
#define DIAL_MAX 1024         /* at a time: as many as there are connections */

struct proxy;
struct dial;

struct dial_result {
	struct chan *chan;         /* owned by the callee, not reading yet; NULL: no connection */
	struct policy_address at;  /* with chan: where to, and what the kernel said about it */
	struct decision decision;  /* without chan: why. A refusal by policy, or "unresolved", "unreachable", "timeout", "log", "limit" */
	bool recorded_allow;       /* without chan: the permission stands in the log, and an end must follow */
};

typedef void dial_done(void *user, struct dial_result *r);

/* f is borrowed until done or dial_cancel, and changed as told above; asked: the user allowed it (decide_now). done is called once,
 * from the loop. NULL: out of memory, or too many at a time (DIAL_MAX); nothing was recorded. */
struct dial *dial_start(struct proxy *p, struct flow *f, bool asked, dial_done *done, void *user);
void dial_cancel(struct dial *d);

struct dials;
struct dials *dials_new(void);
void dials_free(struct dials *ds); /* cancels what is left */

#endif
