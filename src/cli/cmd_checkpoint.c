/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_checkpoint: `sbx checkpoint`, a sandbox as it stands now kept under a tag.
 */
#include <errno.h>
#include <stdio.h>

#include "base/str.h"
#include "cli/api.h"
#include "cli/copied.h"

#define SAVE_MS (45 * 60 * 1000)

enum { KEY_LS = 0x100, KEY_RM, KEY_JSON };

struct values {
	bool list, json;
	const char *remove;
};

static const struct argp_option options[] = {
	{ "ls", KEY_LS, NULL, 0, "List the checkpoints instead", 0 },
	{ "rm", KEY_RM, "TAG", 0, "Remove a checkpoint instead", 0 },
	{ "json", KEY_JSON, NULL, 0, "With --ls: print JSON", 0 },
	{ 0 },
};

static int option(void *values, int key, const char *arg, struct err *err)
{
	struct values *v = values;

	if (key == KEY_LS)
		v->list = true;
	else if (key == KEY_JSON)
		v->json = true;
	else
		v->remove = arg;
	return 0;
}

static int list(struct cli *c, const char *name, bool json)
{
	auto_(json) json_t *v = NULL;
	const json_t *one;
	char target[1100];
	size_t i;
	int r = api_target(c, target, sizeof(target), name, "/checkpoints");

	if (r == 0)
		r = api_get(c, target, &v);
	if (r < 0)
		return r;
	if (json)
		return cli_print_json(c, json_object_get(v, "checkpoints"));
	if (json_array_size(json_object_get(v, "checkpoints")) > 0)
		(void)printf("%-24s %-21s %s\n", "TAG", "CREATED", "SIZE");
	json_array_foreach(json_object_get(v, "checkpoints"), i, one)
		(void)printf("%-24s %-21s %lld MB\n", cli_str(one, "tag"), cli_str(one, "created_at"),
			     (long long)json_integer_value(json_object_get(one, "bytes")) / 1000000);
	return CMD_OK;
}

static int post(struct cli *c, const char *name, const char *path, const json_t *body, json_t **ret)
{
	char target[1100];
	int r = api_target(c, target, sizeof(target), name, path);

	return r < 0 ? r : api_call(c, &(struct api_req){ .method = "POST", .target = target, .body = body, .timeout_ms = SAVE_MS }, ret);
}

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	const struct values *v = values;
	auto_(json) json_t *reply = NULL, *body = json_object();
	const char *name = a->pos[0];
	int r;

	if ((v->list || v->remove) && a->npos > 1)
		return err_set(&c->err, ERR_INVALID, EINVAL, "--ls and --rm make no checkpoint, so that a TAG has no place");
	if (v->list)
		return list(c, name, v->json);
	if (v->remove || a->npos > 1)
		(void)json_object_set_new(body, "tag", json_string(v->remove ? v->remove : a->pos[1]));
	r = post(c, name, v->remove ? "/checkpoints/remove" : "/checkpoint", body, &reply);
	if (r < 0)
		return r;
	if (v->remove) {
		(void)printf("Checkpoint '%s' of sandbox '%s' removed\n", v->remove, name);
		return CMD_OK;
	}
	copied_tell(reply);
	(void)printf("%s\n", cli_str(reply, "tag"));
	return CMD_OK;
}

const struct cmd cmd_checkpoint = {
	.name = "checkpoint",
	.args = "SANDBOX [TAG]",
	.summary = "Keep a running sandbox as it stands now, to go back to",
	.doc = "What its programs have in memory and its disk are kept under TAG (default: the time), which is printed. The sandbox stands\n"
	       "still meanwhile, and goes on. `sbx restore` goes back to it. Files of the workspaces are the host's, and not part of it.",
	.options = options,
	.min_args = 1,
	.max_args = 2,
	.size = sizeof(struct values),
	.option = option,
	.run = run,
};
