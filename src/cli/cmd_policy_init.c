/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_policy_init: `sbx policy init`, the preset that the policy begins with; on a terminal without an argument a menu.
 */
#include <errno.h>

#include "cli/ready.h"

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	int r = a->npos > 0 ? ready_init(c, a->pos[0]) : ready_policy(c);

	return r < 0 ? r : CMD_OK;
}

#define DOC                                                                                                           \
	"open: everything on the internet. balanced: model providers, package registries, source code hosts.\n"       \
	"locked-down: nothing. strict: balanced, but reading only. allow-all and deny-all are other names for open\n" \
	"and locked-down. To choose anew: sbx policy reset."

const struct cmd cmd_policy_init = {
	.name = "init",
	.args = "[open|balanced|locked-down|strict]",
	.summary = "Choose the policy that your sandboxes begin with",
	.doc = DOC,
	.max_args = 1,
	.run = run,
};

/* What the original called it. */
const struct cmd cmd_policy_set_default = {
	.name = "set-default",
	.args = "open|balanced|locked-down|strict",
	.summary = "The same as init",
	.doc = DOC,
	.flags = CMD_HIDDEN,
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
