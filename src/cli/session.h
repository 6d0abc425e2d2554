/* SPDX-License-Identifier: Apache-2.0
 *
 * session: a program in a sandbox that is started for it where it does not run.
 */
#ifndef SBX_CLI_SESSION_H
#define SBX_CLI_SESSION_H

#include <stdbool.h>

#include "cli/cmd.h"

#define SESSION_SOCKET_MAX 4096

struct session_spec {
	const char *name;
	const json_t *start; /* the START record; borrowed */
	bool tty;
	bool input;
};

/* Starts the sandbox where it does not run; its supervisor's socket into dst. */
int session_boot(struct cli *c, const char *name, char *dst, size_t size);
/* Boots and runs to the end; results as of attach_run. A sandbox that was just stopping is started anew. */
int session_run(struct cli *c, const struct session_spec *s);
/* The connection of a session broke: c->err says that the sandbox was paused where it was. Negative. */
int session_lost(struct cli *c, const char *name);
/* A START record: argv (stolen), variables (stolen, may be NULL), tty. NULL on -ENOMEM. */
json_t *session_start_record(json_t *argv, json_t *env, bool tty);

#endif
