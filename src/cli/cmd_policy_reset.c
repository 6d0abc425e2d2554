/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_policy_reset: `sbx policy reset`, no preset and no rules, as at the beginning.
 */
#include <errno.h>
#include <stdio.h>

#include "cli/api.h"
#include "cli/ask.h"

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

static int confirm(struct cli *c)
{
	return ask_confirm(c, "--force", "sbx policy reset --force", "Forget the network policy with all its rules? Running sandboxes reach nothing then.",
			   "the policy is as it was");
}

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	int r = ((struct values *)values)->force ? 0 : confirm(c);

	if (r == 0)
		r = api_call(c, &(struct api_req){ .method = "POST", .target = "/v1/policy/reset" }, NULL);
	if (r < 0)
		return r;
	(void)printf("The network policy is forgotten\n");
	(void)fflush(stdout);
	cli_say("To choose one, run:\n  sbx policy init open|balanced|locked-down");
	return CMD_OK;
}

const struct cmd cmd_policy_reset = {
	.name = "reset",
	.args = "",
	.summary = "Forget the policy and its rules; no sandbox starts until another one is chosen",
	.doc = "Asks first; without a terminal it demands --force. Sandboxes that run go on, and reach nothing.",
	.options = options,
	.size = sizeof(struct values),
	.option = option,
	.run = run,
};
