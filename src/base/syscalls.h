/* SPDX-License-Identifier: Apache-2.0
 *
 * syscalls: a filter of system calls (seccomp) for this process, for the rest of its life. Three sets: calls that it
 * needs are allowed, calls that no program of this kind makes by accident kill it, all others fail with EPERM. Memory
 * may be mapped, but none to run code from. Calls of another architecture kill. Programs that use it link libseccomp.
 */
#ifndef SBX_BASE_SYSCALLS_H
#define SBX_BASE_SYSCALLS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Call numbers as SCMP_SYS() gives them; borrowed for the call. */
struct syscalls {
	const int *allowed;
	size_t nallowed;
	const int *deadly;
	size_t ndeadly;
	/* Families (AF_INET) of which sockets may be made; for all others socket() fails. socket is in neither set then. */
	const int *families;
	size_t nfamilies;
	bool read_files; /* openat opens for reading, and makes nothing; openat is in neither set then */
};

int syscalls_restrict(const struct syscalls *s, struct err *err);

#endif
