/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_stop: `sbx stop`, machines off, everything in them kept.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/api.h"

#define STOP_MS (2 * 60 * 1000)

static int stop_one(struct cli *c, const char *name)
{
	auto_(json) json_t *v = NULL;
	char target[1100];
	int r = api_target(c, target, sizeof(target), name, "/stop");

	if (r == 0)
		r = api_call(c, &(struct api_req){ .method = "POST", .target = target, .timeout_ms = STOP_MS }, &v);
	if (r < 0)
		return r;
	if (json_is_true(json_object_get(v, "discarded")))
		cli_say("Note: sandbox '%s' was paused: what its programs had in memory is dropped, its disk is kept", name);
	(void)printf("Sandbox '%s' stopped\n", name);
	(void)fflush(stdout);
	return 0;
}

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	int status = CMD_OK;

	for (size_t i = 0; i < a->npos; i++)
		if (stop_one(c, a->pos[i]) < 0) {
			cli_print_error(c);
			status = CMD_FAILED;
		}
	return status;
}

const struct cmd cmd_stop = {
	.name = "stop",
	.args = "SANDBOX...",
	.summary = "Stop sandboxes; what is in them is kept",
	.min_args = 1,
	.max_args = SIZE_MAX,
	.run = run,
};
