/* SPDX-License-Identifier: Apache-2.0
 *
 * relay: carries FUSE messages (linux/fuse.h: each starts with its length, u32 in host byte order) between the
 * kernel's /dev/fuse and the port sbx.fs, one thread each way. It looks at nothing but the headers.
 *
 * The door can be held, so that the machine can be frozen and go on with another host end: no message is under way
 * then, in either direction. A lock that a program waits for is not under way: the host keeps the request and hands it
 * over to its successor.
 */
#ifndef SBX_GUEST_RELAY_H
#define SBX_GUEST_RELAY_H

#include <stdint.h>

#include "base/err.h"

/* Both descriptors are owned by the relay from here on, for the life of the process; there is one relay. port_fd is
 * non-blocking. mount_point (borrowed for good) is where the file system is mounted: when
 * either side fails, it is aborted, so that nobody waits for an answer that does not come. */
int relay_start(int fuse_fd, int port_fd, const char *mount_point, struct err *err);
/* Aborts the file system: every request that waits or comes ends with an error. From any thread, idempotent. */
void relay_abort(void);

/* Holds the door: reads no further request of the kernel, and waits until the host has answered everything and promised
 * silence. Programs that use a workspace meanwhile wait, uninterruptibly; the caller and its threads must not.
 * deadline_ms is of io_now_ms. 0: held, until relay_resume; also where there is no file door. -ETIMEDOUT: the host did not
 * answer in time, the door goes on. -EPIPE: the file system was aborted. Blocks; one thread at a time. */
int relay_quiesce(uint64_t deadline_ms);
/* The door goes on, with the host's end of that moment; where there is none, one that comes within 20 s, after which the
 * file system is aborted. Returns at once; without a held door it does nothing. */
void relay_resume(void);

#endif
