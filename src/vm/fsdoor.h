/* SPDX-License-Identifier: Apache-2.0
 *
 * fsdoor: starts `sbx-fs` in its jail. The workspaces are opened here, as O_PATH descriptors, and handed over with the
 * host end of the file door's socket; the jail itself shows none of them.
 */
#ifndef SBX_VM_FSDOOR_H
#define SBX_VM_FSDOOR_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "vm/spec.h"

struct fsdoor {
	int pidfd, stderr_fd; /* owned until taken */
	pid_t pid;
	char nonce[65]; /* what the guest must read through the mount */
	uint64_t ino[SPEC_MAX_WORKSPACES]; /* of each workspace, to compare with what the guest sees */
};

/* fd (the host end of `sbx.fs`) stays the caller's. */
int fsdoor_start(const struct spec *spec, int fd, struct fsdoor *ret, struct err *err);
void fsdoor_done(struct fsdoor *f);

#endif
