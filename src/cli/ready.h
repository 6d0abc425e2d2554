/* SPDX-License-Identifier: Apache-2.0
 *
 * ready: a network policy must have been chosen before a sandbox starts. On a terminal the choice is offered.
 */
#ifndef SBX_CLI_READY_H
#define SBX_CLI_READY_H

#include "cli/cmd.h"

/* 0 where there is a policy, or one was chosen now. */
int ready_policy(struct cli *c);
/* Chooses the preset and says so. */
int ready_init(struct cli *c, const char *preset);

#endif
