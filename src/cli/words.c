/* SPDX-License-Identifier: Apache-2.0
 *
 * words: see words.h. Nothing is checked here: what a resource is, the daemon knows.
 */
#include "cli/words.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"

/* One text of the positionals, owned. */
static int join(struct cli *c, const struct cmd_args *a, char **ret)
{
	const char *const *pos = a->pos;
	size_t n = a->npos;

	if (n > 1 && str_eq(pos[0], "network")) {
		pos++;
		n--;
	}
	if (n > 2 || (n == 2 && !str_eq(pos[0], "tcp")))
		return err_set(&c->err, ERR_INVALID, EINVAL, "unexpected argument '%.200s': several resources are joined by commas",
			       pos[n - 1]);
	*ret = n == 2 ? str_new("tcp %s", pos[1]) : str_new("%s", pos[0]);
	return *ret ? 0 : err_set(&c->err, ERR_INTERNAL, ENOMEM, "out of memory");
}

json_t *words_split(const char *s)
{
	json_t *list = json_array();
	size_t n;

	for (; list; s += n + 1) {
		n = strcspn(s, ",");
		if (json_array_append_new(list, json_stringn(s, n)) < 0) {
			json_decref(list);
			return NULL;
		}
		if (!s[n])
			break;
	}
	return list;
}

int words_resources(struct cli *c, const struct cmd_args *a, json_t **ret)
{
	auto_free char *text = NULL;
	int r = join(c, a, &text);

	if (r < 0)
		return r;
	*ret = words_split(text);
	return *ret ? 0 : err_set(&c->err, ERR_INVALID, EILSEQ, "the resources must be UTF-8");
}

int words_target(struct cli *c, const struct cmd_args *a, char **ret)
{
	return join(c, a, ret);
}

int words_put(struct cli *c, json_t *body, const char *key, const char *value)
{
	if (value && json_object_set_new(body, key, json_string(value)) < 0)
		return err_set(&c->err, ERR_INVALID, EILSEQ, "--%s must be UTF-8", key);
	return 0;
}
