/* SPDX-License-Identifier: Apache-2.0
 *
 * relay: carries FUSE messages (linux/fuse.h: each starts with its length, u32 in host byte order) between the
 * kernel's /dev/fuse and the port sbx.fs, one thread each way. It looks at nothing but the length.
 */
#ifndef SBX_GUEST_RELAY_H
#define SBX_GUEST_RELAY_H

#include "base/err.h"

/* Both descriptors are owned by the relay from here on, for the life of the process; there is one relay. fuse_fd is
 * blocking, port_fd non-blocking. mount_point (borrowed for good) is where the file system is mounted: when
 * either side fails, it is aborted, so that nobody waits for an answer that does not come. */
int relay_start(int fuse_fd, int port_fd, const char *mount_point, struct err *err);
/* Aborts the file system: every request that waits or comes ends with an error. From any thread, idempotent. */
void relay_abort(void);

#endif
