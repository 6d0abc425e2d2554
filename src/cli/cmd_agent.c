/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_agent: `sbx agent`: which agents there are, and newer versions of them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/agents.h"
#include "cli/api.h"
#include "cli/making.h"
#include "cli/table.h"

#define COLUMNS 4

struct values {
	bool json;
};

enum { KEY_JSON = 0x100 };

static const struct argp_option ls_options[] = {
	{ "json", KEY_JSON, NULL, 0, "Print JSON", 0 },
	{ 0 },
};

static int option(void *values, int key, const char *arg, struct err *err)
{
	((struct values *)values)->json = true;
	return 0;
}

/* What is installed of it. */
static const char *layer_cell(const json_t *agent)
{
	const json_t *layer = json_object_get(agent, "layer");

	if (!json_object_get(agent, "install"))
		return "in the base template";
	if (!json_is_object(layer))
		return "installed at its first use";
	if (!json_is_true(json_object_get(layer, "current")))
		return "installed anew at its next use";
	return cli_str(layer, "version")[0] ? cli_str(layer, "version") : "installed";
}

static int print_table(struct cli *c, const json_t *list)
{
	static const char *const heads[COLUMNS] = { "AGENT", "VERSION", "SECRETS", "DESCRIPTION" };
	size_t rows = json_array_size(list) + 1, i, k;
	char **cells = table_new(heads, rows, COLUMNS);
	const json_t *v, *s;

	if (cells)
		json_array_foreach(list, i, v) {
			char **row = cells + (i + 1) * COLUMNS, secrets[400] = "-";

			json_array_foreach(json_object_get(v, "secrets"), k, s) {
				size_t n = k ? strnlen(secrets, sizeof(secrets)) : 0;

				(void)str_format(secrets + n, sizeof(secrets) - n, "%s%s", k ? "," : "", json_string_value(s));
			}
			row[0] = str_new("%s", cli_str(v, "name"));
			row[1] = str_new("%s", layer_cell(v));
			row[2] = str_new("%s", secrets);
			row[3] = str_new("%s", cli_str(v, "description"));
		}
	return table_show(cells, rows, COLUMNS, &c->err);
}

static int ls(struct cli *c, const struct cmd_args *a, void *values)
{
	auto_(json) json_t *v = NULL;
	const json_t *broken;
	size_t i;
	int r = api_get(c, "/v1/agents", &v);

	if (r < 0)
		return r;
	r = ((struct values *)values)->json ? cli_print_json(c, v) : print_table(c, json_object_get(v, "agents"));
	json_array_foreach(json_object_get(v, "broken"), i, broken)
		cli_say("Note: the agent %s cannot be used: %s", cli_str(broken, "name"), cli_str(broken, "message"));
	return r;
}

static int update(struct cli *c, const struct cmd_args *a, void *values)
{
	auto_(json) json_t *agent = NULL, *last = NULL, *after = NULL;
	auto_free char *names = NULL;
	bool built = false;
	int r = agents_find(c, a->pos[0], &agent);

	if (r == 0 && !agent && !(names = agents_names(c)))
		return err_code(&c->err);
	if (r == 0 && !agent)
		return err_set(&c->err, ERR_NOT_FOUND, ENOENT, "unknown agent '%.100s': known agents are: %s", a->pos[0], names);
	if (r == 0 && !json_object_get(agent, "install"))
		return err_set(&c->err, ERR_INVALID, EINVAL, "the agent %s is part of the base template: there is nothing to update",
			       a->pos[0]);
	if (r == 0)
		r = making_template(c, &built);
	if (r == 0)
		r = making_layer(c, a->pos[0], true, &built, &last);
	if (r == 0)
		r = agents_find(c, a->pos[0], &after);
	if (r < 0)
		return r;
	cli_say("\xe2\x9c\x93 %s: %s %s", a->pos[0], built ? "now" : "there is nothing newer than",
		cli_str(json_object_get(after, "layer"), "version"));
	if (built)
		cli_say("  New sandboxes use it; those that exist stay as they are.");
	return CMD_OK;
}

static const struct cmd cmd_ls_agents = {
	.name = "ls",
	.args = "",
	.summary = "List the agents, and which version of each is installed",
	.options = ls_options,
	.size = sizeof(struct values),
	.option = option,
	.run = ls,
};

static const struct cmd cmd_update = {
	.name = "update",
	.args = "AGENT",
	.summary = "Install the newest version of an agent for new sandboxes",
	.doc = "The layer of the agent is made anew in a sandbox, under the network policy, where there is a newer version.",
	.min_args = 1,
	.max_args = 1,
	.run = update,
};

static const struct cmd *const subs[] = { &cmd_ls_agents, &cmd_update, NULL };

const struct cmd cmd_agent = {
	.name = "agent",
	.args = "",
	.summary = "List agents, and take newer versions of them",
	.subs = subs,
	.flags = CMD_TAKES_REST,
	.max_args = 1,
};
