/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_policy_rule: a resource as a person writes it. What is taken prints to a text that is taken as the same rule; what
 * an allow of it covers is never everything.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "policy/idn.h"
#include "policy/rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct rule r = { .action = RULE_ALLOW, .origin = RULE_USER }, again = r;
	char *text = strndup((const char *)bytes, n), ascii[RULE_RESOURCE_MAX], printed[RULE_RESOURCE_MAX];
	struct err err;

	if (text && idn_to_ascii(text, ascii, &err) == 0 && rule_parse(ascii, &r, &err) == 0) {
		rule_print(&r, printed);
		assert(rule_parse(printed, &again, &err) == 0 && rule_same(&r, &again));
		if (rule_check(&r, &err) == 0)
			assert(r.kind != RULE_ANY && (r.kind != RULE_RANGE || r.range.prefix >= 8));
		rule_done(&again);
		rule_done(&r);
	}
	free(text);
	return 0;
}
