/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_resume: `sbx resume`, a paused sandbox goes on.
 */
#include <errno.h>
#include <stdio.h>

#include "cli/api.h"

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	char target[1100];
	int r = api_target(c, target, sizeof(target), a->pos[0], "/resume");

	if (r == 0)
		r = api_call(c, &(struct api_req){ .method = "POST", .target = target, .timeout_ms = API_START_MS }, NULL);
	if (r < 0)
		return r;
	(void)printf("Sandbox '%s' resumed\n", a->pos[0]);
	return CMD_OK;
}

const struct cmd cmd_resume = {
	.name = "resume",
	.args = "SANDBOX",
	.summary = "Let a paused sandbox go on where it was",
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
