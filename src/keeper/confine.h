/* SPDX-License-Identifier: Apache-2.0
 *
 * confine: what the process takes from itself: core dumps and ptrace, capabilities, new privileges, the network, files
 * outside one directory, and all system calls but those that a server of accepted connections needs.
 */
#ifndef SBX_KEEPER_CONFINE_H
#define SBX_KEEPER_CONFINE_H

#include <stdbool.h>

#include "base/err.h"

struct confined {
	bool netns;    /* it is in a network namespace of its own, without any interface that is up */
	bool landlock; /* files are opened below the directory only, by the kernel's word */
};

/* After everything is open that lies outside. What the kernel refuses is said in *ret; the filter of system calls and
 * no_new_privs are no matter of choice: without them it fails. */
int confine(int only_dirfd, struct confined *ret, struct err *err);

#endif
