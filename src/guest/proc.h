/* SPDX-License-Identifier: Apache-2.0
 *
 * proc: starts a session's process: a new session (setsid), the user's identity, a controlling terminal where there is
 * one, PATH search and exec in the child. Nothing waits: the outcome of exec arrives on a descriptor, and exits
 * are reaped by the loop (guest.c). Own fork and exec, because PID 1 reaps everything and must not block on a file
 * system of the host's.
 */
#ifndef SBX_GUEST_PROC_H
#define SBX_GUEST_PROC_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "guest/users.h"

enum proc_step { PROC_STEP_SETUP = 1, PROC_STEP_USER, PROC_STEP_CWD, PROC_STEP_EXEC };

/* What arrives on the status descriptor; nothing but the end of file means that the program runs. */
struct proc_failure {
	int step; /* enum proc_step */
	int errnum;
};

struct proc {
	char *const *argv;
	char *const *envp;
	const char *path; /* the PATH to search where argv[0] has no slash */
	const char *cwd;
	bool cwd_optional; /* "/" where cwd does not exist */
	const struct user *user;
	int in, out, err; /* the child's 0, 1, 2; borrowed */
	bool tty;         /* in is a terminal, which becomes the controlling one */
};

/* *ret_pid leads a session and process group of its own; *ret_status is owned by the caller. */
int proc_start(const struct proc *p, pid_t *ret_pid, int *ret_status, struct err *err);
/* What to tell the host about a failure; always negative. */
int proc_explain(const struct proc_failure *f, const char *program, const char *cwd, const char *user,
		 struct err *err);
/* The files that a PATH search tries, in order: owned, NULL-terminated. NULL on -ENOMEM. */
char **proc_candidates(const char *program, const char *path);
void proc_candidates_free(char **list);

#endif
