/* SPDX-License-Identifier: Apache-2.0
 *
 * agents: the agents' names and commands, as the command line needs them to tell `sbx run AGENT` from `sbx run
 * SANDBOX`. The daemon has the last word at create; both are of one version (api.h).
 */
#ifndef SBX_CLI_AGENTS_H
#define SBX_CLI_AGENTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

bool agents_known(const char *name);
/* "shell, ..." for messages; static. */
const char *agents_list(void);
/* The argv of an agent with arguments of the user: where the first one starts with '-' they are appended, else they
 * replace the command. Owned; NULL for an agent without command, or an argument that is not UTF-8. */
json_t *agents_argv(const char *agent, char *const *args, size_t nargs);

#endif
