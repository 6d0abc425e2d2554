/* SPDX-License-Identifier: Apache-2.0
 *
 * ownpages: where a process, QEMU, has a file in memory mapped, and the way to the pages that it does not share with the file
 * any more. The process must be one of ours in a user namespace of ours (ptrace's rules, ptrace(2)).
 */
#ifndef SBX_VM_OWNPAGES_H
#define SBX_VM_OWNPAGES_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct ownpages {
	int pagemap, mem; /* owned: of /proc/PID */
	uint64_t at;      /* the address of the file's first byte */
};

/* The file behind fd must be mapped whole, once and in one piece of addresses. */
int ownpages_open(pid_t pid, int fd, uint64_t bytes, struct ownpages *ret, struct err *err);
void ownpages_done(struct ownpages *o);

#endif
