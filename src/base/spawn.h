/* SPDX-License-Identifier: Apache-2.0
 *
 * spawn: the one way to start a child. vfork-free fork + exec with every signal reset, descriptors mapped
 * exactly (everything else closed), and optionally a session of its own and death with its parent. Returns a
 * pidfd. A failed exec is reported by errno through a CLOEXEC pipe, so that "no such program" is an error of
 * this call and not a child that ended with 127.
 */
#ifndef SBX_BASE_SPAWN_H
#define SBX_BASE_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

#define SPAWN_MAX_FDS 64

struct spawn {
	const char *path;         /* program, absolute, or found by PATH where it has no slash */
	const char *const *argv;  /* NULL-terminated */
	const char *const *envp;  /* NULL: inherit */
	int stdin_fd;             /* -1: /dev/null */
	int stdout_fd;            /* -1: /dev/null */
	int stderr_fd;            /* -1: inherit */
	const int *fds;           /* fds[i] becomes descriptor 3 + i in the child */
	size_t nfds;              /* <= SPAWN_MAX_FDS */
	bool new_session;         /* setsid, and not a child of ours (double fork): ret_pidfd stays -1 */
	bool die_with_parent;     /* PR_SET_PDEATHSIG SIGKILL */
	const char *cwd;          /* NULL: inherit */
};

/* On success *ret_pidfd is owned by the caller (waitid with P_PIDFD reaps). ret_pid may be NULL. */
int spawn_start(const struct spawn *s, pid_t *ret_pid, int *ret_pidfd, struct err *err);
/* Waits up to timeout_ms (-1: without end) and reaps; *ret_status as of waitpid(2). -ETIMEDOUT: still running. */
int spawn_wait(int pidfd, int timeout_ms, int *ret_status);
/* Runs to the end; stdout is gathered up to max_bytes (ret_out NULL: dropped; else owned, NUL-terminated).
 * A non-zero exit is an error that quotes the last line of stderr. */
int spawn_run(const struct spawn *s, int timeout_ms, size_t max_bytes, char **ret_out, struct err *err);

#endif
