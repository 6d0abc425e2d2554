/* SPDX-License-Identifier: Apache-2.0
 *
 * rules: the network policy as the daemon keeps it: a preset, the rules that the user added, and which of the preset's rules
 * do not count. The registry has it; here it is in memory, checked, as the one policy of all sandboxes. Each change is
 * checked as a whole before it is stored, and then given to the sandboxes that run: STATE/sandboxes/<id>/policy.json (a
 * snapshot of the rules for all and for this one, policy/snapshot.h) is replaced, and the supervisor is told, which answers when its
 * proxy has taken it. A stopped sandbox gets its file at the next start.
 *
 * Without a preset nothing is decided yet: no sandbox starts, and one that runs (after a reset) has an empty policy, which
 * denies everything.
 */
#ifndef SBX_DAEMON_RULES_H
#define SBX_DAEMON_RULES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "daemon/sandbox.h"
#include "policy/policy.h"

#define RULES_FILE "policy.json"
#define RULES_ONCE_MAX 256 /* rules of one change */

struct rules;

/* Reads the registry, once the sandboxes are known; d->rules is then owned by d. */
int rules_open(struct daemon *d, struct err *err);
void rules_free(struct rules *rs);

/* An error (unavailable) that names `sbx policy init` where no preset was chosen. */
int rules_ready(const struct daemon *d, struct err *err);
/* What is in force for all sandboxes; borrowed until the next change. */
const struct policy *rules_policy(const struct daemon *d);
/* When a rule of the user was added, "" for a preset's. Borrowed likewise. */
const char *rules_created_at(const struct daemon *d, const char *id);

/* What a change did beside what was asked for. */
struct rules_added {
	char id[RULE_ID_MAX + 1];       /* the rule; an older one where it was there already */
	bool existed;
	char replaced[RULE_ID_MAX + 1]; /* the user's rule for the same with another action, which is gone; "": none */
};

/* Chooses the preset. -EEXIST where another one was chosen already. */
int rules_init(struct daemon *d, const char *preset, struct err *err);
/* Forgets preset and rules. */
int rules_reset(struct daemon *d, struct err *err);
/* Adds the user's rules, all or none, and gives them their ids; ret has an entry for each. */
int rules_add(struct daemon *d, struct rule *list, size_t n, struct rules_added *ret, struct err *err);
/* The rules that are for one sandbox alone become another one's, too. */
int rules_copy(struct daemon *d, const struct sandbox *from, const struct sandbox *to, struct err *err);
/* Takes rules away by their ids, all or none; -ENOENT names one that is not there. */
int rules_remove(struct daemon *d, const char *const *ids, size_t n, struct err *err);
/* Waits until every sandbox that runs has taken the changes so far. 1: all have, and done is not called; 0: done will be called, once:
 * err NULL, or the name of one that goes on with the old policy and why. Negative with err: out of memory. */
typedef void rules_settled(void *user, const struct err *err);
int rules_settle(struct daemon *d, rules_settled *done, void *user, struct err *err);
/* A sandbox was removed from the registry: its rules went with it. */
void rules_forget(struct daemon *d);

/* Replaces the sandbox's policy.json. */
int rules_write(const struct sandbox *s, struct err *err);

#endif
