/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_rm: `sbx rm`, sandboxes and all that is in them gone. Workspaces are never touched.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/api.h"
#include "cli/ask.h"

struct values {
	bool all, force;
};

enum { KEY_ALL = 0x100 };

static const struct argp_option options[] = {
	{ "all", KEY_ALL, NULL, 0, "Remove every sandbox", 0 },
	{ "force", 'f', NULL, 0, "Do not ask, and kill what runs in them at once", 0 },
	{ 0 },
};

static int option(void *values, int key, const char *arg, struct err *err)
{
	struct values *v = values;

	if (key == 'f')
		v->force = true;
	else
		v->all = true;
	return 0;
}

static int remove_one(struct cli *c, const char *name, bool force)
{
	char target[1100];
	int r = api_target(c, target, sizeof(target), name, force ? "?force=true" : "");

	if (r < 0)
		return r;
	(void)printf("Deleting sandbox %s...\n", name);
	(void)fflush(stdout);
	r = api_call(c, &(struct api_req){ .method = "DELETE", .target = target, .timeout_ms = API_SLOW_MS, .once = true },
		     NULL);
	if (r < 0 && c->err.kind == ERR_CONFLICT && !force)
		cli_hint(c, "sbx rm --force %s", name);
	if (r < 0)
		return r;
	(void)printf("Sandbox '%s' removed\n", name);
	(void)fflush(stdout);
	return 0;
}

/* Before anything is asked or removed: do they exist? */
static int check_one(struct cli *c, const char *name)
{
	char target[1100];
	int r = api_target(c, target, sizeof(target), name, "");

	return r < 0 ? r : api_get(c, target, NULL);
}

/* One question for the whole batch; anything but y or yes is a no. */
static int ask(struct cli *c, const char *const *names, size_t n)
{
	char question[256];

	if (n == 1) {
		(void)str_format(question, sizeof(question), "Remove sandbox '%s' and everything in it?", names[0]);
	} else {
		for (size_t i = 0; i < n; i++)
			(void)fprintf(stderr, "  %s\n", names[i]);
		(void)str_format(question, sizeof(question), "Remove these %zu sandboxes and everything in them?", n);
	}
	return ask_confirm(c, "--force", "sbx rm --force ...", question, "nothing was removed");
}

static int remove_all_of(struct cli *c, const char **names, size_t n, bool force)
{
	size_t known = 0;
	int status = CMD_OK, r;

	for (size_t i = 0; i < n; i++) {
		if (check_one(c, names[i]) == 0) {
			names[known++] = names[i];
			continue;
		}
		cli_print_error(c);
		status = CMD_FAILED;
	}
	r = known > 0 && !force ? ask(c, names, known) : 0;
	if (r < 0)
		return r;
	for (size_t i = 0; i < known; i++)
		if (remove_one(c, names[i], force) < 0) {
			cli_print_error(c);
			status = CMD_FAILED;
		}
	return status;
}

static int remove_every(struct cli *c, bool force)
{
	auto_(json) json_t *v = NULL;
	auto_free const char **names = NULL;
	const json_t *list, *s;
	size_t i, n;
	int r = api_get(c, "/v1/sandboxes", &v);

	if (r < 0)
		return r;
	list = json_object_get(v, "sandboxes");
	n = json_array_size(list);
	if (n == 0) {
		(void)printf("No sandboxes found.\n");
		return CMD_OK;
	}
	names = calloc(n, sizeof(*names));
	if (!names)
		return err_set(&c->err, ERR_INTERNAL, ENOMEM, "out of memory");
	json_array_foreach(list, i, s)
		names[i] = cli_str(s, "name");
	return remove_all_of(c, names, n, force);
}

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	const struct values *v = values;
	char command[256];

	if (v->all == (a->npos > 0)) {
		cli_hint(c, "sbx rm --help");
		(void)err_set(&c->err, ERR_INVALID, EINVAL, "sbx rm: %s",
			      v->all ? "--all and names exclude each other" : "missing argument: SANDBOX or --all");
		cli_print_error(c);
		return CMD_USAGE;
	}
	(void)str_format(command, sizeof(command), "sbx rm --force %s", v->all ? "--all" : a->pos[0]);
	if (!v->force && ask_possible(c, "--force", command) < 0)
		return err_code(&c->err);
	return v->all ? remove_every(c, v->force) : remove_all_of(c, a->pos, a->npos, v->force);
}

const struct cmd cmd_rm = {
	.name = "rm",
	.args = "[SANDBOX...]",
	.summary = "Remove sandboxes and everything in them",
	.doc = "Files in workspaces are not touched. Asks first; without a terminal it demands --force.",
	.options = options,
	.max_args = SIZE_MAX,
	.size = sizeof(struct values),
	.option = option,
	.run = run,
};
