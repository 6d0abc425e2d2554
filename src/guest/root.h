/* SPDX-License-Identifier: Apache-2.0
 *
 * root: from the initramfs to the sandbox's own root, and back for the end. Called in this order, once each: root_prepare,
 * root_mount, root_switch, root_populate, root_share ... root_teardown.
 */
#ifndef SBX_GUEST_ROOT_H
#define SBX_GUEST_ROOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "guest/users.h"

#define ROOT_DISK_TARGET 0U
#define ROOT_BASE_TARGET 1U

/* What needs to know nothing of the sandbox, so that a frozen machine has done it: finds the disk and the base layer, which
 * are there from the machine's first moment; mounts the latter, and, out of the way, the kernel's file systems; reads what
 * every program needs. */
int root_prepare(uint64_t deadline_ms, struct err *err);
/* Layers (squashfs, lowest first) read-only, the sandbox's ext4 disk, an overlay of both. */
int root_mount(const unsigned *layers, size_t nlayers, unsigned disk, uint64_t deadline_ms, struct err *err);
/* Makes the overlay the root of this process and of the kernel's helpers. */
int root_switch(struct err *err);
/* What root_prepare mounted comes to its places; /tmp and the agent's runtime directory. */
int root_populate(const struct user *agent, struct err *err);
/* Moves what is mounted at a path of the initramfs, such as "sbx/files", into the new root; the mount point is made. */
int root_move(const char *from, const char *at, mode_t mode, struct err *err);
/* This very program, at a path of the new root: another mount of the file that PID 1 runs. */
int root_lend(const char *at, struct err *err);
/* Whether this disk was marked: a note on it that no program of the sandbox sees. After root_switch. */
bool root_is_marked(void);
void root_mark(void);
/* Makes all mounts shared, systemd's default, which container engines expect. After the last mount of ours, so that
 * nested workspaces do not show up twice. */
void root_share(void);
/* Sync, let go of everything mounted, leave the disk clean. Call when no other process is left. 0 where the disk was
 * unmounted or is read-only now. */
int root_teardown(void);

#endif
