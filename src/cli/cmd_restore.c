/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_restore: `sbx restore`.
 */
#include <errno.h>
#include <stdio.h>

#include "cli/api.h"
#include "cli/copied.h"

#define COPY_MS (45 * 60 * 1000)

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	auto_(json) json_t *v = NULL, *body = json_pack("{s:s}", "tag", a->pos[1]);
	char target[1100];
	int r = api_target(c, target, sizeof(target), a->pos[0], "/restore");

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
	.doc = "What it is now, its disk included, is dropped. Its programs go on from where they were; a connection through the network\n"
	       "door has ended, the clock is the present one. Files of the workspaces are the host's, and stay as they are.",
	.min_args = 2,
	.max_args = 2,
	.run = run,
};
