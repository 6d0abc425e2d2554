/* SPDX-License-Identifier: Apache-2.0
 *
 * field: see field.h. No state.
 */
#include "daemon/field.h"

#include <string.h>

#include "base/str.h"

int field_only(const json_t *object, const char *what, const char *const *keys, struct err *err)
{
	const char *key;
	json_t *value;

	/* jansson's macro wants a mutable object although it only reads. */
	json_object_foreach ((json_t *)(uintptr_t)object, key, value) {
		char shown[100], known[300] = "";
		size_t at = 0;
		const char *const *k = keys;

		while (*k && !str_eq(*k, key))
			k++;
		if (*k)
			continue;
		for (k = keys; *k && at < sizeof(known); k++)
			at += (size_t)snprintf(known + at, sizeof(known) - at, "%s%s", at ? ", " : "", *k);
		str_escape(shown, sizeof(shown), key, strlen(key));
		return err_set(err, ERR_INVALID, 0, "%s has an unknown key \"%s\": %s%s", what, shown,
			       at ? "known keys are " : "no key is known here", known);
	}
	return 0;
}

int field_string(const json_t *object, const char *key, bool required, const char **ret, struct err *err)
{
	const json_t *v = json_object_get(object, key);

	if (!v && !required)
		return 0;
	if (!v)
		return err_set(err, ERR_INVALID, 0, "\"%s\" is missing", key);
	if (!json_is_string(v) || json_string_length(v) == 0)
		return err_set(err, ERR_INVALID, 0, "\"%s\" must be a string that is not empty", key);
	*ret = json_string_value(v);
	return 0;
}

int field_u64(const json_t *object, const char *key, uint64_t min, uint64_t max, uint64_t *ret, struct err *err)
{
	const json_t *v = json_object_get(object, key);
	json_int_t n = json_integer_value(v);

	if (!v)
		return 0;
	if (!json_is_integer(v) || n < 0 || (uint64_t)n < min || (uint64_t)n > max)
		return err_set(err, ERR_INVALID, 0, "\"%s\" must be a whole number from %llu to %llu", key,
			       (unsigned long long)min, (unsigned long long)max);
	*ret = (uint64_t)n;
	return 0;
}

json_t *field_error(const struct err *err)
{
	char shown[4 * sizeof(err->msg) + 1];
	json_t *message = json_string(err->msg);

	if (!message) {
		str_escape(shown, sizeof(shown), err->msg, strlen(err->msg));
		message = json_string(shown);
	}
	return json_pack("{s:s, s:o}", "kind", err_kind_name(err->kind), "message", message);
}

int field_bool(const json_t *object, const char *key, bool required, bool *ret, struct err *err)
{
	const json_t *v = json_object_get(object, key);

	if (!v && !required)
		return 0;
	if (!json_is_boolean(v))
		return err_set(err, ERR_INVALID, 0, "\"%s\" must be true or false%s", key, v ? "" : ", and is missing");
	*ret = json_is_true(v);
	return 0;
}
