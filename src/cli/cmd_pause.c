/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_pause: `sbx pause`, machines to disk as they stand.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/api.h"

#define PAUSE_MS (45 * 60 * 1000)

static int pause_one(struct cli *c, const char *name)
{
	auto_(json) json_t *v = NULL;
	char target[1100];
	int r = api_target(c, target, sizeof(target), name, "/pause");
	json_int_t lost;

	if (r == 0)
		r = api_call(c, &(struct api_req){ .method = "POST", .target = target, .timeout_ms = PAUSE_MS }, &v);
	if (r < 0)
		return r;
	lost = json_integer_value(json_object_get(v, "lost"));
	if (lost > 0)
		cli_say("Note: %lld open file%s of the workspaces had no name any more, and will not answer after the pause", (long long)lost,
			lost == 1 ? "" : "s");
	(void)printf("Sandbox '%s' paused\n", name);
	(void)fflush(stdout);
	return 0;
}

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	int status = CMD_OK;

	for (size_t i = 0; i < a->npos; i++)
		if (pause_one(c, a->pos[i]) < 0) {
			cli_print_error(c);
			status = CMD_FAILED;
		}
	return status;
}

const struct cmd cmd_pause = {
	.name = "pause",
	.args = "SANDBOX...",
	.summary = "Save what sandboxes have in memory, and end their machines",
	.doc = "The programs stand still where they are, until `sbx resume`; a restart of the host does not matter. `sbx run` and\n"
	       "`sbx exec` resume a paused sandbox, `sbx stop` drops its memory and keeps its disk. Connections through the network\n"
	       "door end. Files of the workspaces are the host's, and stay as they are.\n\n"
	       "With the setting `sandbox.autoPause` a sandbox that was started with `sbx run -d` is paused by itself when nobody has used it for as long.",
	.min_args = 1,
	.max_args = SIZE_MAX,
	.run = run,
};
