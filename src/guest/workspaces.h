/* SPDX-License-Identifier: Apache-2.0
 *
 * workspaces: the host's folders at their own paths. The file door serves one file system, whose root has an entry
 * per workspace named by its index; each is bound to its absolute path.
 */
#ifndef SBX_GUEST_WORKSPACES_H
#define SBX_GUEST_WORKSPACES_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "guest/setup.h"

/* Before anything of a sandbox is known: opens the port sbx.fs and mounts the file door (nosuid, nodev) in the initramfs.
 * The kernel's first request waits there for the relay. */
int workspaces_prepare(uint64_t deadline_ms, struct err *err);
/* Lets go of that, where there are no workspaces. */
void workspaces_none(void);
/* Waits for the host, brings the mount to /run/sbx/fs and starts the relay. */
int workspaces_mount(uint64_t deadline_ms, struct err *err);
/* What the file door's .nonce says: hex digits. */
int workspaces_nonce(char *ret, size_t size, struct err *err);
/* What was written to mapped pages goes to the host; everything else was there when write(2) returned, since nothing is
 * written back later (relay without FUSE_WRITEBACK_CACHE). Waits for the host: not for the loop's thread. */
void workspaces_sync(void);
/* The inode number of one of the file door's entries, as the file door says now. */
int workspaces_ino(const struct workspace *w, uint64_t *ret, struct err *err);
/* Binds all, parents first whatever their order, and fills their ino. */
int workspaces_bind(struct workspace *w, size_t n, const struct user *agent, struct err *err);

#endif
