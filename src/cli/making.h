/* SPDX-License-Identifier: Apache-2.0
 *
 * making: what has to be made once before a sandbox can be: the base template, and an agent's layer on it. Progress goes to
 * stderr: on a terminal one line that changes, elsewhere a line per step and a sign of life now and then.
 */
#ifndef SBX_CLI_MAKING_H
#define SBX_CLI_MAKING_H

#include <jansson.h>
#include <stdbool.h>

#include "cli/cmd.h"

/* Makes it where it is missing or out of date. */
int making_template(struct cli *c, bool *ret_built);
/* The same for the layer of an agent; update: looks for a newer version. Where it fails, what the installation said last and
 * what the policy refused is on stderr. ret (may be NULL): the last word, owned. */
int making_layer(struct cli *c, const char *agent, bool update, bool *ret_built, json_t **ret);

#endif
