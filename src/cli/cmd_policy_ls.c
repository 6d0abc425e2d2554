/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_policy_ls: `sbx policy ls`, the preset and the rules: the user's first, then the preset's.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/str.h"
#include "cli/api.h"
#include "cli/table.h"

#define COLUMNS 6
#define CELL_MAX 4096

struct values {
	const char *sandbox;
	bool json;
};

enum { KEY_SANDBOX = 0x100, KEY_JSON, KEY_TYPE };

static const struct argp_option options[] = {
	{ "json", KEY_JSON, NULL, 0, "Print JSON", 0 },
	{ "sandbox", KEY_SANDBOX, "NAME", 0, "Only the rules that concern this sandbox", 0 },
	{ "type", KEY_TYPE, "TYPE", 0, "all or network, which is the same so far", 0 },
	{ 0 },
};

static int option(void *values, int key, const char *arg, struct err *err)
{
	struct values *v = values;

	if (key == KEY_JSON)
		v->json = true;
	else if (key == KEY_SANDBOX)
		v->sandbox = arg;
	else if (!str_eq(arg, "all") && !str_eq(arg, "network"))
		return err_set(err, ERR_INVALID, EINVAL, "--type '%.50s': only all and network are known", arg);
	return 0;
}

static bool is_preset(const json_t *rule)
{
	return str_eq(cli_str(rule, "origin"), "preset");
}

/* "GET,HEAD /v1/..", "tls splice" */
static char *conditions_cell(const json_t *rule)
{
	const json_t *methods = json_object_get(rule, "methods");
	const char *path = cli_str(rule, "path"), *tls = cli_str(rule, "tls"), *expect = cli_str(rule, "expect");
	struct buf b;
	char *cell;

	buf_init(&b, CELL_MAX);
	for (size_t i = 0; i < json_array_size(methods); i++)
		(void)buf_printf(&b, "%s%s", i ? "," : "", json_string_value(json_array_get(methods, i)));
	if (path[0])
		(void)buf_printf(&b, "%s%s", buf_len(&b) ? " " : "", path);
	if (tls[0])
		(void)buf_printf(&b, "%stls %s", buf_len(&b) ? ", " : "", tls);
	if (json_object_get(rule, "websocket"))
		(void)buf_printf(&b, "%sno WebSocket", buf_len(&b) ? ", " : "");
	if (expect[0])
		(void)buf_printf(&b, "%sexpects %s", buf_len(&b) ? ", " : "", expect);
	cell = str_new("%s", buf_len(&b) && buf_cstr(&b) ? buf_cstr(&b) : "-");
	buf_done(&b);
	return cell;
}

static void fill_row(char **row, const json_t *rule)
{
	const char *sandbox = cli_str(rule, "sandbox"), *source = cli_str(rule, "source");

	row[0] = str_new("%s", cli_str(rule, "id"));
	row[1] = str_new("%s", cli_str(rule, "action"));
	row[2] = str_new("%s", cli_str(rule, "resource"));
	row[3] = conditions_cell(rule);
	row[4] = str_new("%s", sandbox[0] ? sandbox : "all");
	row[5] = str_new("%s%s%s%s", cli_str(rule, "origin"), source[0] ? " " : "", source,
			 json_is_true(json_object_get(rule, "exfiltration")) ? "  (exfiltration-capable)" : "");
}

static int print_table(struct cli *c, const json_t *rules)
{
	static const char *const heads[COLUMNS] = { "ID", "DECISION", "RESOURCE", "CONDITIONS", "APPLIES TO", "ORIGIN" };
	size_t rows = json_array_size(rules) + 1, at = 1, i;
	char **cells = table_new(heads, rows, COLUMNS);
	const json_t *rule;

	for (int preset = 0; cells && preset < 2; preset++)
		json_array_foreach(rules, i, rule)
			if (is_preset(rule) == (preset == 1))
				fill_row(cells + at++ * COLUMNS, rule);
	return table_show(cells, rows, COLUMNS, &c->err);
}

/* Fetches the rules; those of other sandboxes are left out where one is named. */
static int get_rules(struct cli *c, const char *sandbox, json_t **ret)
{
	auto_(json) json_t *reply = NULL, *known = NULL, *out = json_array();
	const json_t *rule;
	const char *name = NULL;
	char target[1100];
	size_t i;
	int r = sandbox ? api_target(c, target, sizeof(target), sandbox, "") : 0;

	if (r == 0 && sandbox)
		r = api_get(c, target, &known);
	if (r == 0)
		r = api_get(c, "/v1/policy/rules", &reply);
	if (r < 0)
		return r;
	name = sandbox ? cli_str(known, "name") : NULL;
	json_array_foreach(json_object_get(reply, "rules"), i, rule)
		if (!name || !cli_str(rule, "sandbox")[0] || str_eq(cli_str(rule, "sandbox"), name))
			(void)json_array_append(out, (json_t *)(uintptr_t)rule);
	*ret = TAKE_PTR(out);
	return *ret ? 0 : err_set(&c->err, ERR_INTERNAL, ENOMEM, "out of memory");
}

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	const struct values *v = values;
	auto_(json) json_t *state = NULL, *rules = NULL;
	int r = api_get(c, "/v1/policy", &state);

	if (r == 0)
		r = get_rules(c, v->sandbox ? v->sandbox : a->npos > 0 ? a->pos[0] : NULL, &rules);
	if (r < 0)
		return r;
	if (v->json) {
		(void)json_object_set(state, "rules", rules);
		(void)json_object_del(state, "presets");
		return cli_print_json(c, state);
	}
	if (!json_is_true(json_object_get(state, "initialised"))) {
		(void)printf("No network policy was chosen yet.\n");
		(void)fflush(stdout);
		cli_say("To choose one, run:\n  sbx policy init open|balanced|locked-down");
		return CMD_OK;
	}
	(void)printf("Policy: %s   Default: %s   TLS: %s\n", cli_str(state, "preset"), cli_str(state, "default"),
		     cli_str(state, "tls"));
	return json_array_size(rules) > 0 ? print_table(c, rules) : CMD_OK;
}

const struct cmd cmd_policy_ls = {
	.name = "ls",
	.args = "[SANDBOX]",
	.summary = "List the rules",
	.doc = "exfiltration-capable: anybody can have an account, a bucket or a package behind that name, so that a program\n"
	       "that is misled can carry data out there.",
	.options = options,
	.max_args = 1,
	.size = sizeof(struct values),
	.option = option,
	.run = run,
};
