/* SPDX-License-Identifier: Apache-2.0
 *
 * launch: from a START to a process with its environment, its user and its descriptors.
 */
#ifndef SBX_GUEST_LAUNCH_H
#define SBX_GUEST_LAUNCH_H

#include <sys/types.h>

#include "base/err.h"
#include "guest/setup.h"
#include "guest/start.h"

struct launched {
	pid_t pid;
	int status;       /* of proc_start */
	int in, out, err; /* our ends; with a terminal `out` is its master and the others are -1 */
	char *cwd;        /* owned; where it starts */
};

/* All descriptors of *ret are owned by the caller. */
int launch(const struct setup *setup, const struct start *start, struct launched *ret, struct err *err);
/* The environment of a session: defaults for the user, then the setup's, then START's; the last one wins. */
int launch_env(const struct setup *setup, const struct start *start, const struct user *u, struct vars *ret,
	       struct err *err);

#endif
