/* SPDX-License-Identifier: Apache-2.0
 *
 * start: see start.h. Duplicate members and NUL bytes are refused by jansson; unknown members are ignored, so that a
 * newer host can say more.
 */
#include "guest/start.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/own.h"

DEFINE_AUTO(json, json_t *, json_decref);

void start_done(struct start *s)
{
	for (char **a = s->argv; a && *a; a++)
		free(*a);
	free(s->argv);
	vars_done(&s->env);
	free(s->cwd);
	free(s->user);
	free(s->term);
	*s = (struct start){ 0 };
}

static int read_argv(const json_t *array, struct start *s, struct err *err)
{
	size_t n = json_array_size(array);

	if (n == 0 || n > START_ARGS_MAX)
		return err_set(err, ERR_INVALID, EINVAL, "\"argv\" is not an array of 1 to %d strings", START_ARGS_MAX);
	s->argv = calloc(n + 1, sizeof(*s->argv));
	if (!s->argv)
		return err_errno(err, ENOMEM, "argv");
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(array, i));

		if (!text || (i == 0 && !*text))
			return err_set(err, ERR_INVALID, EINVAL, "\"argv\"[%zu] is not a string to run", i);
		s->argv[i] = strdup(text);
		if (!s->argv[i])
			return err_errno(err, ENOMEM, "argv");
	}
	return 0;
}

/* A string member, or fallback (NULL: none) where it is absent. */
static int read_string(const json_t *o, const char *name, const char *fallback, char **ret, struct err *err)
{
	const json_t *v = json_object_get(o, name);
	const char *text = v ? json_string_value(v) : fallback;

	if (v && (!text || !*text))
		return err_set(err, ERR_INVALID, EINVAL, "\"%s\" is not a string with content", name);
	if (!text)
		return 0;
	*ret = strdup(text);
	return *ret ? 0 : err_errno(err, ENOMEM, "%s", name);
}

static int read_size(const json_t *o, const char *name, uint16_t *ret, struct err *err)
{
	const json_t *v = json_object_get(o, name);

	if (!v)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > UINT16_MAX)
		return err_set(err, ERR_INVALID, EINVAL, "\"%s\" is not a number from 0 to 65535", name);
	*ret = (uint16_t)json_integer_value(v);
	return 0;
}

static int read_all(const json_t *o, struct start *s, struct err *err)
{
	const json_t *tty = json_object_get(o, "tty");
	int r;

	if (tty && !json_is_boolean(tty))
		return err_set(err, ERR_INVALID, EINVAL, "\"tty\" is not true or false");
	s->tty = tty && json_is_true(tty);
	if ((r = read_argv(json_object_get(o, "argv"), s, err)) < 0 ||
	    (r = vars_from_json(&s->env, json_object_get(o, "env"), err)) < 0 ||
	    (r = read_string(o, "cwd", NULL, &s->cwd, err)) < 0 ||
	    (r = read_string(o, "user", "agent", &s->user, err)) < 0 ||
	    (r = read_string(o, "term", "xterm-256color", &s->term, err)) < 0 ||
	    (r = read_size(o, "rows", &s->rows, err)) < 0 || (r = read_size(o, "cols", &s->cols, err)) < 0)
		return r;
	if (s->cwd && s->cwd[0] != '/')
		return err_set(err, ERR_INVALID, EINVAL, "working directory \"%.200s\" is not absolute", s->cwd);
	return 0;
}

int start_attach(const void *json, size_t n, json_int_t *ret_id, struct start *ret, struct err *err)
{
	auto_(json) json_t *o = json_loadb(json, n, JSON_REJECT_DUPLICATES, NULL);
	const json_t *id = json_object_get(o, "attach");
	int r;

	if (!id)
		return 0;
	if (!json_is_integer(id) || json_integer_value(id) < 0)
		return err_set(err, ERR_INVALID, EINVAL, "\"attach\" is not the number of a session");
	r = read_size(o, "rows", &ret->rows, err);
	if (r == 0)
		r = read_size(o, "cols", &ret->cols, err);
	*ret_id = json_integer_value(id);
	return r < 0 ? r : 1;
}

int start_parse(const void *json, size_t n, struct start *ret, struct err *err)
{
	json_error_t je;
	auto_(json) json_t *o = json_loadb(json, n, JSON_REJECT_DUPLICATES, &je);
	struct start s = { 0 };
	int r;

	*ret = s;
	if (!o || !json_is_object(o))
		return err_set(err, ERR_INVALID, EINVAL, "START is not a JSON object");
	r = read_all(o, &s, err);
	if (r < 0) {
		start_done(&s);
		return r;
	}
	*ret = s;
	return 0;
}
