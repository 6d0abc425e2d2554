/* SPDX-License-Identifier: Apache-2.0
 *
 * member: see member.h.
 */
#include "wire/member.h"

#include <errno.h>
#include <string.h>

int member_parse(const char *text, size_t n, const char *what, json_t **ret, struct err *err)
{
	json_error_t e;
	json_t *o = json_loadb(text, n, JSON_REJECT_DUPLICATES, &e);

	if (!json_is_object(o)) {
		json_decref(o);
		return err_set(err, ERR_INVALID, EINVAL, "%s is not a JSON object", what);
	}
	*ret = o;
	return 0;
}

static int copy(const json_t *o, const char *key, char first, char *dst, size_t size)
{
	const json_t *v = json_object_get(o, key);
	const char *s = json_string_value(v);
	size_t n = json_string_length(v);

	dst[0] = 0;
	if (!v || json_is_null(v))
		return -ENOENT;
	if (!s || n >= size)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if (s[i] < first || s[i] > '~')
			return -EINVAL;
	memcpy(dst, s, n);
	dst[n] = 0;
	return 0;
}

int member_text(const json_t *o, const char *key, char *dst, size_t size)
{
	return copy(o, key, ' ', dst, size);
}

int member_word(const json_t *o, const char *key, char *dst, size_t size)
{
	return copy(o, key, '!', dst, size);
}

int member_int(const json_t *o, const char *key, int64_t min, int64_t max, int64_t *ret)
{
	const json_t *v = json_object_get(o, key);

	if (!v || json_is_null(v))
		return -ENOENT;
	if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
		return -EINVAL;
	*ret = json_integer_value(v);
	return 0;
}
