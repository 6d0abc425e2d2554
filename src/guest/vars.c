/* SPDX-License-Identifier: Apache-2.0
 *
 * vars: see vars.h.
 */
#include "guest/vars.h"

#include <errno.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"

void vars_done(struct vars *v)
{
	for (size_t i = 0; i < v->n; i++)
		free(v->list[i]);
	free(v->list);
	*v = (struct vars){ 0 };
}

static size_t find(const struct vars *v, const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < v->n; i++)
		if (strncmp(v->list[i], name, len) == 0 && v->list[i][len] == '=')
			break;
	return i;
}

static int set_entry(struct vars *v, size_t name_len, char *entry)
{
	size_t i = find(v, entry, name_len), old = i < v->n ? strlen(v->list[i]) + 1 : 0;
	size_t bytes = v->bytes - old + strlen(entry) + 1;

	if (bytes > VARS_MAX_BYTES || (i == v->n && v->n == VARS_MAX))
		return -E2BIG;
	if (i == v->n && v->n + 1 >= v->cap) {
		size_t cap = v->cap ? 2 * v->cap : 32;
		char **list = reallocarray(v->list, cap, sizeof(*list));

		if (!list)
			return -ENOMEM;
		v->list = list;
		v->cap = cap;
	}
	if (i < v->n) {
		free(v->list[i]);
	} else {
		v->n++;
		v->list[v->n] = NULL;
	}
	v->list[i] = entry;
	v->bytes = bytes;
	return 0;
}

int vars_set(struct vars *v, const char *name, const char *value)
{
	size_t len = strlen(name);
	char *entry;
	int r;

	if (len == 0 || memchr(name, '=', len))
		return -EINVAL;
	if (len > VARS_MAX_BYTES || strlen(value) > VARS_MAX_BYTES)
		return -E2BIG;
	entry = str_new("%s=%s", name, value);
	if (!entry)
		return -ENOMEM;
	r = set_entry(v, len, entry);
	if (r < 0)
		free(entry);
	return r;
}

const char *vars_get(const struct vars *v, const char *name)
{
	size_t len = strlen(name), i = find(v, name, len);

	return i < v->n ? v->list[i] + len + 1 : NULL;
}

int vars_merge(struct vars *v, const struct vars *from)
{
	for (size_t i = 0; i < from->n; i++) {
		char *entry = strdup(from->list[i]);
		int r = entry ? set_entry(v, strcspn(entry, "="), entry) : -ENOMEM;

		if (r < 0) {
			free(entry);
			return r;
		}
	}
	return 0;
}

int vars_from_json(struct vars *v, const json_t *object, struct err *err)
{
	const char *name;
	json_t *value;

	if (!object)
		return 0;
	if (!json_is_object(object))
		return err_set(err, ERR_INVALID, EINVAL, "\"env\" is not an object of strings");
	json_object_foreach((json_t *)(uintptr_t)object, name, value) {
		int r = json_is_string(value) ? vars_set(v, name, json_string_value(value)) : -EINVAL;

		if (r == -EINVAL)
			return err_set(err, ERR_INVALID, EINVAL, "environment variable \"%.100s\" is not a name and a string",
				       name);
		if (r < 0)
			return err_set(err, ERR_INVALID, -r, "the environment is too large (at most %d variables, %d bytes)",
				       VARS_MAX, VARS_MAX_BYTES);
	}
	return 0;
}
