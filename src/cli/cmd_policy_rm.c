/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_policy_rm: `sbx policy rm`, rules that shall not count any more, the user's or the preset's.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/api.h"
#include "cli/words.h"

struct values {
	const char *id, *resource, *sandbox;
};

enum { KEY_ID = 0x100, KEY_RESOURCE, KEY_SANDBOX };

static const struct argp_option options[] = {
	{ "id", KEY_ID, "ID[,ID...]", 0, "The rules with these ids", 0 },
	{ "resource", KEY_RESOURCE, "RESOURCE", 0, "All rules for exactly this resource", 0 },
	{ "sandbox", KEY_SANDBOX, "NAME", 0, "With --resource: of this sandbox only (default: of the rules for all)", 0 },
	{ 0 },
};

static int option(void *values, int key, const char *arg, struct err *err)
{
	struct values *v = values;

	if (key == KEY_ID)
		v->id = arg;
	else if (key == KEY_RESOURCE)
		v->resource = arg;
	else
		v->sandbox = arg;
	return 0;
}

/* "r12", or an id of a preset's rule, "default-os-packages:0a1b2c3d", which is no resource. */
static bool is_id(const char *s)
{
	const char *colon = strchr(s, ':');

	if (s[0] == 'r' && s[1] && !s[1 + strspn(s + 1, "0123456789")])
		return true;
	return colon && strlen(colon + 1) == 8 && !colon[1 + strspn(colon + 1, "0123456789abcdef")];
}

static int make_body(struct cli *c, const struct cmd_args *a, const struct values *v, json_t **ret)
{
	auto_(json) json_t *body = json_object();
	const char *word = a->npos > 0 ? a->pos[a->npos - 1] : NULL;
	const char *id = v->id, *resource = v->resource;
	json_t *list = NULL;
	int r;

	if (word && (a->npos > 1 || !str_eq(word, "network"))) {
		if (id || resource || (a->npos > 1 && !str_eq(a->pos[0], "network")))
			return err_set(&c->err, ERR_INVALID, EINVAL, "unexpected argument '%.200s'", word);
		if (is_id(word))
			id = word;
		else
			resource = word;
	}
	if (!id == !resource) {
		cli_hint(c, "sbx policy ls");
		return err_set(&c->err, ERR_INVALID, EINVAL, "sbx policy rm: give --id or --resource");
	}
	list = words_split(id ? id : resource);
	if (!list || json_object_set_new(body, id ? "ids" : "resources", list) < 0)
		return err_set(&c->err, ERR_INVALID, EILSEQ, "ids and resources must be UTF-8");
	r = words_put(c, body, "sandbox", v->sandbox);
	if (r == 0)
		*ret = TAKE_PTR(body);
	return r;
}

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	auto_(json) json_t *body = NULL, *reply = NULL;
	const json_t *rule;
	size_t i;
	int r = make_body(c, a, values, &body);

	if (r == 0)
		r = api_call(c, &(struct api_req){ .method = "POST", .target = "/v1/policy/rules/remove", .body = body },
			     &reply);
	if (r < 0)
		return r;
	json_array_foreach(json_object_get(reply, "removed"), i, rule)
		(void)printf("Removed %s  %s %s\n", cli_str(rule, "id"), cli_str(rule, "action"), cli_str(rule, "resource"));
	return CMD_OK;
}

const struct cmd cmd_policy_rm = {
	.name = "rm",
	.args = "[network] [ID|RESOURCE]",
	.summary = "Remove rules",
	.doc = "A rule of the preset can be removed, too; `sbx policy reset` brings it back.",
	.options = options,
	.max_args = 2,
	.size = sizeof(struct values),
	.option = option,
	.run = run,
};
