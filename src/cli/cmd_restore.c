/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_restore: `sbx restore`.
 */
#include <errno.h>
#include <stdio.h>

#include "base/str.h"
#include "cli/api.h"
#include "cli/ask.h"
#include "cli/copied.h"

#define COPY_MS (45 * 60 * 1000)

struct values {
	bool force;
};

static const struct argp_option options[] = {
	{ "force", 'f', NULL, 0, "Do not ask", 0 },
	{ 0 },
};

static int option(void *values, int key, const char *arg, struct err *err)
{
	((struct values *)values)->force = true;
	return 0;
}

static int confirm(struct cli *c, const char *name, const char *tag)
{
	char question[256], command[256];

	(void)str_format(question, sizeof(question), "Drop what sandbox '%s' has in memory and on its disk, and go back to '%s'?", name, tag);
	(void)str_format(command, sizeof(command), "sbx restore --force %s %s", name, tag);
	return ask_confirm(c, "--force", command, question, "the sandbox is as it was");
}

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	auto_(json) json_t *v = NULL, *body = json_pack("{s:s}", "tag", a->pos[1]);
	char target[1100];
	int r = ((const struct values *)values)->force ? 0 : confirm(c, a->pos[0], a->pos[1]);

	if (r == 0)
		r = api_target(c, target, sizeof(target), a->pos[0], "/restore");
	if (r == 0)
		r = api_call(c, &(struct api_req){ .method = "POST", .target = target, .body = body, .timeout_ms = COPY_MS }, &v);
	if (r < 0)
		return r;
	copied_tell(v);
	(void)printf("Sandbox '%s' goes on from checkpoint '%s'\n", a->pos[0], a->pos[1]);
	return CMD_OK;
}

const struct cmd cmd_restore = {
	.name = "restore",
	.args = "SANDBOX TAG",
	.summary = "Go back to a checkpoint of a sandbox",
	.doc = "What it is now, its disk included, is dropped: asks first, and without a terminal demands --force. Its programs go on from\n"
	       "where they were; a connection through the network door has ended, the clock is the present one. Files of the workspaces are\n"
	       "the host's, and stay as they are.",
	.options = options,
	.min_args = 2,
	.max_args = 2,
	.size = sizeof(struct values),
	.option = option,
	.run = run,
};
