/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_create: `sbx create`, a sandbox that is not attached to. It stays stopped until somebody needs it.
 */
#include <errno.h>
#include <stdio.h>

#include "cli/agents.h"
#include "cli/create.h"
#include "cli/paths.h"

struct values {
	struct create create;
	bool quiet;
};

static const struct argp_option options[] = {
	CREATE_OPTIONS,
	{ "quiet", 'q', NULL, 0, "Print the name and nothing else", 0 },
	{ 0 },
};

static int option(void *values, int key, const char *arg, struct err *err)
{
	struct values *v = values;

	if (key != 'q')
		return create_option(&v->create, key, arg, err);
	v->quiet = true;
	return 0;
}

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	const struct values *v = values;
	auto_(json) json_t *workspaces = NULL, *sandbox = NULL, *agent = NULL;
	auto_free char *names = NULL;
	bool is_new = false;
	int r = agents_find(c, a->pos[0], &agent);

	if (r < 0)
		return r;
	if (!agent) {
		names = agents_names(c);
		if (!names)
			return err_code(&c->err);
		cli_hint(c, "sbx create shell PATH");
		return err_set(&c->err, ERR_NOT_FOUND, ENOENT, "unknown agent '%.100s': known agents are: %s", a->pos[0], names);
	}
	r = paths_resolve(c, a->pos + 1, a->npos - 1, &workspaces);
	if (r == 0)
		r = create_sandbox(c, &v->create, &(struct create_what){ .agent = a->pos[0], .workspaces = workspaces },
				   &sandbox, &is_new);
	if (r < 0)
		return r;
	if (v->quiet) {
		(void)printf("%s\n", cli_str(sandbox, "name"));
		return CMD_OK;
	}
	create_report(sandbox);
	cli_say("To connect to this sandbox, run:\n  sbx run %s", cli_str(sandbox, "name"));
	return CMD_OK;
}

static void done(void *values)
{
	create_done(&((struct values *)values)->create);
}

const struct cmd cmd_create = {
	.name = "create",
	.args = "AGENT PATH [PATH...]",
	.summary = "Create a sandbox without attaching to it",
	.doc = "The first PATH is the primary workspace; more folders or single files may follow. PATH:ro is read-only.\n"
	       "The sandbox starts when `sbx run` or `sbx exec` needs it.",
	.options = options,
	.min_args = 2,
	.max_args = 1 + PATHS_MAX,
	.size = sizeof(struct values),
	.option = option,
	.run = run,
	.done = done,
};
