/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_policy_pending: `sbx policy pending`, approve and reject: what waits for an answer because of an `ask` rule.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/api.h"
#include "cli/table.h"

#define COLUMNS 5

struct values {
	const char *sandbox;
	bool json;
};

enum { KEY_SANDBOX = 0x100, KEY_JSON };

static const struct argp_option list_options[] = {
	{ "json", KEY_JSON, NULL, 0, "Print JSON", 0 },
	{ "sandbox", KEY_SANDBOX, "NAME", 0, "Only what waits in this sandbox", 0 },
	{ 0 },
};
static const struct argp_option answer_options[] = {
	{ "sandbox", KEY_SANDBOX, "NAME", 0, "The sandbox, where ID is only a number", 0 },
	{ 0 },
};

static int option(void *values, int key, const char *arg, struct err *err)
{
	struct values *v = values;

	if (key == KEY_JSON)
		v->json = true;
	else
		v->sandbox = arg;
	return 0;
}

/* Everything that waits, each with an "id"; of one sandbox where it is named. */
static int get_pending(struct cli *c, const char *sandbox, json_t **ret)
{
	auto_(json) json_t *reply = NULL, *out = json_array();
	json_t *one;
	size_t i;
	int r = api_get(c, "/v1/policy/pending", &reply);

	if (r < 0)
		return r;
	json_array_foreach(json_object_get(reply, "pending"), i, one) {
		if (sandbox && !str_eq(cli_str(one, "sandbox"), sandbox))
			continue;
		(void)json_object_set_new(one, "id",
					  json_sprintf("%s/%lld", cli_str(one, "sandbox"),
						       (long long)json_integer_value(json_object_get(one, "ask"))));
		(void)json_array_append(out, one);
	}
	*ret = TAKE_PTR(out);
	return *ret ? 0 : err_set(&c->err, ERR_INTERNAL, ENOMEM, "out of memory");
}

static int print_table(struct cli *c, const json_t *list)
{
	static const char *const heads[COLUMNS] = { "ID", "DESTINATION", "REQUEST", "RULE", "SECONDS LEFT" };
	size_t rows = json_array_size(list) + 1, i;
	char **cells = table_new(heads, rows, COLUMNS);
	const json_t *one;

	if (cells)
		json_array_foreach(list, i, one) {
			char **row = cells + (i + 1) * COLUMNS;

			row[0] = str_new("%s", cli_str(one, "id"));
			row[1] = str_new("%s", cli_str(one, "dest"));
			row[2] = str_new("%s%s%s", cli_str(one, "method")[0] ? cli_str(one, "method") : "-",
					 cli_str(one, "path")[0] ? " " : "", cli_str(one, "path"));
			row[3] = str_new("%s", cli_str(one, "rule"));
			row[4] = str_new("%lld", (long long)json_integer_value(json_object_get(one, "seconds")));
		}
	return table_show(cells, rows, COLUMNS, &c->err);
}

static int run_list(struct cli *c, const struct cmd_args *a, void *values)
{
	const struct values *v = values;
	auto_(json) json_t *list = NULL, *out = NULL;
	int r = get_pending(c, v->sandbox, &list);

	if (r < 0)
		return r;
	if (v->json) {
		out = json_pack("{s:O}", "pending", list);
		return out ? cli_print_json(c, out) : err_set(&c->err, ERR_INTERNAL, ENOMEM, "out of memory");
	}
	if (json_array_size(list) > 0)
		return print_table(c, list);
	(void)printf("Nothing waits for an answer.\n");
	return CMD_OK;
}

/* "NAME/7", or 7 with --sandbox, or 7 where only one sandbox has that question. */
static int find(struct cli *c, const struct values *v, const char *id, char *name, size_t size, uint64_t *ret_ask)
{
	const char *slash = strrchr(id, '/');
	auto_(json) json_t *list = NULL;
	const json_t *one, *found = NULL;
	size_t i;
	int r;

	if (str_u64(slash ? slash + 1 : id, INT64_MAX, ret_ask) < 0 || (slash && slash == id))
		return err_set(&c->err, ERR_INVALID, EINVAL, "'%.100s' is no id of `sbx policy pending`", id);
	if (slash || v->sandbox)
		return str_format(name, size, "%.*s", slash ? (int)(slash - id) : (int)strlen(v->sandbox),
				  slash ? id : v->sandbox) < 0
			       ? err_set(&c->err, ERR_INVALID, EINVAL, "the sandbox's name is too long")
			       : 0;
	r = get_pending(c, NULL, &list);
	if (r < 0)
		return r;
	json_array_foreach(list, i, one) {
		if ((uint64_t)json_integer_value(json_object_get(one, "ask")) != *ret_ask)
			continue;
		if (found)
			return err_set(&c->err, ERR_CONFLICT, EEXIST, "several sandboxes have a question %.20s: write %s or %s",
				       id, cli_str(found, "id"), cli_str(one, "id"));
		found = one;
	}
	if (!found)
		return err_set(&c->err, ERR_NOT_FOUND, ENOENT, "no question %.100s waits for an answer", id);
	return str_format(name, size, "%s", cli_str(found, "sandbox"));
}

static int answer(struct cli *c, const struct cmd_args *a, const struct values *v, bool allow)
{
	auto_(json) json_t *body = NULL;
	char name[256];
	uint64_t ask = 0;
	int r = find(c, v, a->pos[0], name, sizeof(name), &ask);

	if (r < 0)
		return r;
	body = json_pack("{s:s, s:I, s:b}", "sandbox", name, "ask", (json_int_t)ask, "allow", allow);
	if (!body)
		return err_set(&c->err, ERR_INVALID, EILSEQ, "the sandbox's name must be UTF-8");
	r = api_call(c, &(struct api_req){ .method = "POST", .target = "/v1/policy/answer", .body = body }, NULL);
	if (r < 0)
		return r;
	(void)printf("%s %s/%llu\n", allow ? "Approved" : "Rejected", name, (unsigned long long)ask);
	return CMD_OK;
}

static int run_approve(struct cli *c, const struct cmd_args *a, void *values)
{
	return answer(c, a, values, true);
}

static int run_reject(struct cli *c, const struct cmd_args *a, void *values)
{
	return answer(c, a, values, false);
}

const struct cmd cmd_policy_pending = {
	.name = "pending",
	.args = "",
	.summary = "List what waits for your answer (rules made with --ask)",
	.options = list_options,
	.size = sizeof(struct values),
	.option = option,
	.run = run_list,
};

const struct cmd cmd_policy_approve = {
	.name = "approve",
	.args = "ID",
	.summary = "Let through what waits, this once",
	.options = answer_options,
	.min_args = 1,
	.max_args = 1,
	.size = sizeof(struct values),
	.option = option,
	.run = run_approve,
};

const struct cmd cmd_policy_reject = {
	.name = "reject",
	.args = "ID",
	.summary = "Refuse what waits",
	.options = answer_options,
	.min_args = 1,
	.max_args = 1,
	.size = sizeof(struct values),
	.option = option,
	.run = run_reject,
};
