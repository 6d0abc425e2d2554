/* SPDX-License-Identifier: Apache-2.0
 *
 * snapshot: a policy as JSON: what the daemon gives a proxy, and the form of a rule in the daemon's API and in presets.
 *
 *   {"schema": 1, "generation": 7, "preset": "balanced", "default": "deny", "tls": "auto",
 *    "permitted_ranges": ["10.8.0.0/16"],
 *    "rules": [{"id": "r12", "action": "allow", "resource": "**.example.com:443", "methods": ["GET", "HEAD"],
 *               "path": "/v1/" "**", "tls": "intercept", "exfiltration": true, "sandbox": "shell-proj",
 *               "origin": "preset", "source": "balanced/default-os-packages"}]}
 *
 * schema, generation, default, tls and rules are required; of a rule id, action, resource and origin. A key that is not listed, a key twice, a
 * value out of range or a rule that rule_check refuses makes the whole snapshot invalid: there is no half of a policy.
 */
#ifndef SBX_POLICY_SNAPSHOT_H
#define SBX_POLICY_SNAPSHOT_H

#include <jansson.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "policy/policy.h"

#define SNAPSHOT_SCHEMA 1
#define SNAPSHOT_MAX_BYTES (16U << 20)

/* -EINVAL with what is wrong and where; -ENOMEM. *ret is owned. */
int snapshot_load(const char *json, size_t n, struct policy **ret, struct err *err);
/* Appends the snapshot, rules in the order of their adding; loading it gives the same policy. -EMSGSIZE, -ENOMEM. */
int snapshot_dump(const struct policy *p, struct buf *out);

/* One rule. Reads into an empty rule; what is missing keeps the value that r has (for an API that sets the origin itself, say);
 * on failure there is nothing to free. */
int snapshot_rule_read(const json_t *in, struct rule *r, struct err *err);
/* NULL on -ENOMEM; a new reference. */
json_t *snapshot_rule_write(const struct rule *r);

#endif
