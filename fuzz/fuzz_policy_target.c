/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_policy_target: a path pattern, a newline, a request target. Canonical forms are their own canonical forms, and
 * matching ends.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void one(const char *s, size_t n, const char *pattern)
{
	struct target t, again;

	assert(target_parse(s, n, &t) == 0);
	assert((t.path != NULL) == (t.fault == TARGET_OK));
	if (t.path) {
		assert(target_parse(t.path, t.path_n, &again) == 0 && again.fault == TARGET_OK && !again.changed);
		assert(strcmp(t.path, again.path) == 0 && !strstr(t.path, "/../") && !strstr(t.path, "//"));
		if (pattern)
			assert(t.push_path || target_match(pattern, &t) == target_match(pattern, &again));
		target_done(&again);
	}
	target_done(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	const uint8_t *line = n > 0 ? memchr(bytes, '\n', n) : NULL;
	char *text = line ? strndup((const char *)bytes, (size_t)(line - bytes)) : NULL, *pattern = NULL, *again = NULL;
	const uint8_t *rest = line ? line + 1 : bytes;

	if (text && target_pattern(text, &pattern, NULL) == 0) {
		assert(target_pattern(pattern, &again, NULL) == 0 && strcmp(pattern, again) == 0);
		free(again);
	}
	one((const char *)rest, n - (size_t)(rest - bytes), pattern);
	free(pattern);
	free(text);
	return 0;
}
