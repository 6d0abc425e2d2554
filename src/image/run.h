/* SPDX-License-Identifier: Apache-2.0
 *
 * run: a tool's whole life within a job: what it says is logged and watched line by line, the progress line moves,
 * a signal or a deadline ends it, and its failure quotes the line that tells the cause.
 */
#ifndef SBX_IMAGE_RUN_H
#define SBX_IMAGE_RUN_H

#include "image/job.h"

struct run {
	const char *const *argv; /* NULL-terminated; found by PATH */
	int stdin_fd;		 /* -1: none */
	int stdout_fd;		 /* -1: logged, as stderr always is */
	/* Each line without its end; true: it is not for the log. May be NULL. */
	bool (*line)(void *user, const char *line);
	void *user;
};

/* Deadline of one tool. */
#define RUN_TIMEOUT_MS (30 * 60 * 1000)

/* 0, or an error: the tool could not be started, failed, took too long or was interrupted. It is gone then. */
int run_tool(const struct run *run, const struct job *j, struct err *err);
/* Whether a program is found by PATH. */
bool run_exists(const char *program);

#endif
