/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_fork: `sbx fork`.
 */
#include <errno.h>
#include <stdio.h>

#include "cli/api.h"
#include "cli/copied.h"

#define COPY_MS (45 * 60 * 1000)

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	auto_(json) json_t *v = NULL, *body = json_pack("{s:s}", "name", a->pos[1]);
	char target[1100];
	int r = api_target(c, target, sizeof(target), a->pos[0], "/fork");

	if (r == 0)
		r = api_call(c, &(struct api_req){ .method = "POST", .target = target, .body = body, .timeout_ms = COPY_MS }, &v);
	if (r < 0)
		return r;
	copied_tell(v);
	(void)printf("Sandbox '%s' forked as '%s'\n", a->pos[0], a->pos[1]);
	return CMD_OK;
}

const struct cmd cmd_fork = {
	.name = "fork",
	.args = "SANDBOX NEW",
	.summary = "Make a new sandbox that goes on from where one stands",
	.doc = "NEW has the same workspaces, memory and disk, and the rules of the network policy that are for SANDBOX alone; name,\n"
	       "machine-id and CA are its own, and no port is published. Programs that run keep the certificates that they have read.\n"
	       "SANDBOX goes on. `sbx attach NEW` attaches to a program of it.",
	.min_args = 2,
	.max_args = 2,
	.run = run,
};
