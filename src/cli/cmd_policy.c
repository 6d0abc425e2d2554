/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_policy: `sbx policy`, the commands about the network policy (docs/policy.md).
 */
#include "cli/cmd.h"

static const struct cmd *const subs[] = {
	&cmd_policy_allow, &cmd_policy_approve, &cmd_policy_check,   &cmd_policy_deny,   &cmd_policy_explain,
	&cmd_policy_init,  &cmd_policy_log,     &cmd_policy_ls,      &cmd_policy_pending, &cmd_policy_reject,
	&cmd_policy_reset, &cmd_policy_rm,      &cmd_policy_set_default, NULL,
};

const struct cmd cmd_policy = {
	.name = "policy",
	.args = "",
	.summary = "Say which destinations sandboxes may reach",
	.subs = subs,
	.flags = CMD_TAKES_REST,
	.max_args = 1,
};
