/* SPDX-License-Identifier: Apache-2.0
 *
 * envset: see envset.h.
 */
#include "cli/envset.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/env.h"
#include "base/io.h"
#include "base/own.h"
#include "base/str.h"

static int put(json_t **set, const char *name, const char *value, size_t n, struct err *err)
{
	json_t *v;

	if (!*set)
		*set = json_object();
	if (*set && json_object_size(*set) >= ENVSET_MAX)
		return err_set(err, ERR_INVALID, E2BIG, "more than %d variables", ENVSET_MAX);
	v = json_stringn(value, n);
	if (!v || json_object_set_new(*set, name, v) < 0)
		return err_set(err, ERR_INVALID, EILSEQ, "variable '%.100s': name and value must be UTF-8", name);
	return 0;
}

/* One assignment; text[n] is what follows it and is left alone. */
static int assign(json_t **set, const char *text, size_t n, struct err *err)
{
	const char *eq = memchr(text, '=', n);
	size_t len = eq ? (size_t)(eq - text) : n;
	auto_free char *name = strndup(text, len);
	char shown[120];

	if (!name)
		return err_set(err, ERR_INTERNAL, ENOMEM, "out of memory");
	str_escape(shown, sizeof(shown), name, len);
	if (len == 0)
		return err_set(err, ERR_INVALID, EINVAL, "a variable's name is missing before '='");
	if (memchr(text, 0, n))
		return err_set(err, ERR_INVALID, EINVAL, "variable '%s' holds a zero byte", shown);
	if (strpbrk(name, " \t\r\v\f"))
		return err_set(err, ERR_INVALID, EINVAL, "variable '%s' has a blank in its name: write NAME=VALUE", shown);
	if (eq)
		return put(set, name, eq + 1, n - len - 1, err);
	return env_get(name) ? put(set, name, env_get(name), strlen(env_get(name)), err) : 0;
}

int envset_flag(struct envset *e, const char *arg, struct err *err)
{
	return assign(&e->flags, arg, strlen(arg), err);
}

int envset_text(struct envset *e, const char *name, const char *text, size_t n, struct err *err)
{
	const char *end = text + n;
	size_t number = 0;

	if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		text += 3;
	while (text < end) {
		const char *nl = memchr(text, '\n', (size_t)(end - text)), *stop = nl ? nl : end, *next = nl ? nl + 1 : end;
		int r = 0;

		number++;
		if (stop > text && stop[-1] == '\r')
			stop--;
		while (text < stop && (*text == ' ' || *text == '\t'))
			text++;
		if (text < stop && *text != '#')
			r = assign(&e->files, text, (size_t)(stop - text), err);
		if (r < 0)
			return err_wrap(err, "%.200s, line %zu", name, number);
		text = next;
	}
	return 0;
}

int envset_file(struct envset *e, const char *path, struct err *err)
{
	auto_free char *text = NULL;
	size_t n = 0;
	int r = io_read_file(AT_FDCWD, path, ENVSET_FILE_MAX, &text, &n);

	if (r == -EMSGSIZE)
		return err_set(err, ERR_INVALID, EMSGSIZE, "env file %.300s is larger than 1 MiB", path);
	if (r < 0)
		return err_errno(err, -r, "cannot read env file %.300s", path);
	return envset_text(e, path, text, n, err);
}

json_t *envset_merge(const struct envset *e)
{
	json_t *all = json_object();

	if (!all || (e->files && json_object_update(all, e->files) < 0) ||
	    (e->flags && json_object_update(all, e->flags) < 0)) {
		json_decref(all);
		return NULL;
	}
	return all;
}

void envset_done(struct envset *e)
{
	json_decref(e->files);
	json_decref(e->flags);
	*e = (struct envset){ 0 };
}
