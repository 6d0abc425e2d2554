/* SPDX-License-Identifier: Apache-2.0
 *
 * agents: what the daemon knows about the agents (docs/agents.md), for telling `sbx run AGENT` from `sbx run SANDBOX` and
 * for their commands. There is no table here.
 */
#ifndef SBX_CLI_AGENTS_H
#define SBX_CLI_AGENTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "cli/cmd.h"

/* The agent of that name as GET /v1/agents/{name} shows it, owned; NULL, and no error, where there is none. Negative where
 * its profile is broken or the daemon cannot be asked. */
int agents_find(struct cli *c, const char *name, json_t **ret);
/* "claude, codex, ..." for messages; owned, NULL where it cannot be asked for. */
char *agents_names(struct cli *c);
/* The argv of an agent (NULL: one that is not known any more) with arguments of the user: where the first one starts with
 * '-' they are appended, else they replace the command. Owned; NULL where nothing is left to run, or an argument is not
 * UTF-8. */
json_t *agents_argv(const json_t *agent, char *const *args, size_t nargs);

#endif
