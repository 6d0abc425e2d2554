/* SPDX-License-Identifier: Apache-2.0
 *
 * launch: a connection to sandboxd, which is started where it does not run. Ten callers at once start one: whoever
 * cannot connect takes RUNTIME/sandboxd.start.lock, tries once more, and only then starts it; the others wait for
 * the lock and find it running. Every wait has a deadline.
 */
#ifndef SBX_CLI_LAUNCH_H
#define SBX_CLI_LAUNCH_H

#include <sys/types.h>

#include "cli/cmd.h"

#define LAUNCH_SOCKET "sandboxd.sock"
#define LAUNCH_LOG "sandboxd.log"

/* A connected socket (blocking, owned by the caller), or negative with c->err filled. Without `start` a daemon that
 * does not run is -ECONNREFUSED; *ret_started (may be NULL) says whether this call started it. */
int launch_connect(struct cli *c, bool start, bool *ret_started);
/* Waits until process pid is gone, at most timeout_ms; -ETIMEDOUT. `pidfd` from launch_watch; owned by the caller. */
int launch_watch(pid_t pid);
int launch_await_end(int pidfd, int timeout_ms);

#endif
