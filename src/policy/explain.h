/* SPDX-License-Identifier: Apache-2.0
 *
 * explain: a verdict in words, for the page that a refused request gets, for `sbx policy check` and for the log. What a
 * guest said appears only in canonical form (host, path) or is escaped (method).
 */
#ifndef SBX_POLICY_EXPLAIN_H
#define SBX_POLICY_EXPLAIN_H

#include "policy/policy.h"

#define EXPLAIN_ORIGIN_MAX (RULE_SOURCE_MAX + 32)
#define EXPLAIN_MAX 1024
#define EXPLAIN_REMEDY_MAX 1536

/* Why, one line without a full stop: "no rule allows example.com:443". */
void explain_verdict(const struct policy_query *q, const struct verdict *v, char dst[EXPLAIN_MAX]);
/* Who says so: "preset balanced/default-os-packages", "user", "agent claude", "default", "builtin". */
void explain_origin(const struct policy *p, const struct verdict *v, char dst[EXPLAIN_ORIGIN_MAX]);
/* The command of the host's user that would change a refusal; "" where there is none. */
void explain_remedy(const struct policy_query *q, const struct verdict *v, char dst[EXPLAIN_REMEDY_MAX]);

#endif
