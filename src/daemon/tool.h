/* SPDX-License-Identifier: Apache-2.0
 *
 * tool: one run of `sbx-image`, which says on stdout what it does: a JSON object per line, {"progress": ..} any number of
 * times, at last {"manifest": ..} or {"error": ..}. Its stderr is the daemon's log. It dies with the daemon.
 *
 * States: running -> over (`end` was called, or tool_kill) -> freed, by itself. `end` exactly once unless it is killed.
 */
#ifndef SBX_DAEMON_TOOL_H
#define SBX_DAEMON_TOOL_H

#include <jansson.h>
#include <uv.h>

#include "base/err.h"

struct tool;

struct tool_ops {
	void (*progress)(void *user, const json_t *line);
	/* The process has ended. result: its last word, borrowed; NULL where it had none. */
	void (*end)(void *user, const json_t *result);
};

/* argv: NULL-terminated, without the program. input: a JSON object for its stdin (borrowed), or NULL. ops is borrowed. */
struct tool *tool_start(uv_loop_t *loop, const char *const *args, const json_t *input, const struct tool_ops *ops, void *user,
			struct err *err);
/* Ends the process, by force after 5 s, and says nothing more. The handle is dead. NULL is allowed. */
void tool_kill(struct tool *t);

#endif
