/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_profile: an agent's profile as YAML. What is taken is a JSON object with the promised members; what is not has a
 * message that begins with a line.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "wire/profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct err err = { 0 };
	json_t *o = NULL;
	int r = profile_parse((const char *)bytes, n, "a", &o, &err);

	if (r == 0) {
		assert(strcmp(json_string_value(json_object_get(o, "name")), "a") == 0);
		assert(json_array_size(json_object_get(o, "command")) > 0);
		assert(json_is_array(json_object_get(o, "files")) && json_is_object(json_object_get(o, "env")));
	} else {
		assert(!o && strncmp(err.msg, "line ", 5) == 0);
	}
	json_decref(o);
	return 0;
}
