/* SPDX-License-Identifier: Apache-2.0
 *
 * ruleset: the rules of a policy, found by what they are about: a name takes one look per label, an address one look per prefix length in
 * use, however many rules there are. Rules are added, never changed or taken out; ids are unique; all have passed rule_check.
 */
#ifndef SBX_POLICY_RULESET_H
#define SBX_POLICY_RULESET_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "policy/address.h"
#include "policy/index.h"
#include "policy/rule.h"

#define RULESET_MAX 10000

struct ruleset {
	struct rule *rules; /* owned; in the order of their adding */
	size_t n, cap;
	struct index by_resource, by_id;
	uint16_t prefixes4[33], prefixes6[129]; /* how many range rules have each length */
};

/* Called for each rule that a walk meets. */
typedef void ruleset_visit(void *user, const struct rule *r);

/* Zero is an empty set. */
void ruleset_done(struct ruleset *rs);
/* Takes the rule over (r is empty afterwards), or leaves both as they were: what rule_check says, -EINVAL for a bad id,
 * -EEXIST for a known one, -ENOSPC past RULESET_MAX, -ENOMEM. Moves the rules: pointers to them end here. */
int ruleset_add(struct ruleset *rs, struct rule *r, struct err *err);
const struct rule *ruleset_find(const struct ruleset *rs, const char *id);

/* Each walk visits the rules whose resource covers what is asked, whatever their port and scope; none visits `**`
 * but ruleset_each_any. host is canonical. */
void ruleset_each_name(const struct ruleset *rs, const char *host, ruleset_visit *visit, void *user);
void ruleset_each_address(const struct ruleset *rs, const struct address *a, ruleset_visit *visit, void *user);
void ruleset_each_localhost(const struct ruleset *rs, ruleset_visit *visit, void *user);
void ruleset_each_any(const struct ruleset *rs, ruleset_visit *visit, void *user);

#endif
