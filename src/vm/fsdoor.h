/* SPDX-License-Identifier: Apache-2.0
 *
 * fsdoor: starts `sbx-fs` in its jail. The workspaces are opened here, as O_PATH descriptors, and handed over with the
 * host end of the file door's socket; the jail itself shows none of them.
 *
 * What the guest's kernel holds of the session can be saved while the guest holds its door (guest/relay.h), and another
 * sbx-fs goes on with it, now or after a restart of the host: the file system stays mounted in the guest.
 */
#ifndef SBX_VM_FSDOOR_H
#define SBX_VM_FSDOOR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "vm/spec.h"

struct fsdoor {
	int pidfd, stderr_fd; /* owned until taken */
	int control_fd;       /* owned; -1 after a request that failed half way */
	pid_t pid;
	char nonce[65]; /* what the guest must read through the mount; another one for each sbx-fs */
	uint64_t ino[SPEC_MAX_WORKSPACES]; /* of each workspace, to compare with what the guest sees */
};

/* fd (the host end of `sbx.fs`) stays the caller's. state_fd: -1, or a file that fsdoor_save has written, which is read from
 * its beginning without moving its position, and stays the caller's; one that is damaged, of another version or of other
 * workspaces makes sbx-fs end at once, and its last line says why. */
int fsdoor_start(const struct spec *spec, int fd, int state_fd, struct fsdoor *ret, struct err *err);
/* Writes the session's state to fd, at its position. Blocks for at most timeout_ms (writes to fd not counted). *ret_lost: so
 * many of the guest's open files have no name any more; they will answer ESTALE to a later sbx-fs. ERR_CONFLICT where the
 * guest does not hold its door. sbx-fs goes on either way. On failure fd may hold a part. */
int fsdoor_save(struct fsdoor *f, int fd, uint64_t timeout_ms, size_t *ret_lost, struct err *err);
void fsdoor_done(struct fsdoor *f);

#endif
