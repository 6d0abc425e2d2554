/* SPDX-License-Identifier: Apache-2.0
 *
 * mounted: whether the guest sees the very directories that the file door serves. Enters: the guest's answer to
 * `/setup`, which is hostile. No I/O.
 */
#ifndef SBX_VM_MOUNTED_H
#define SBX_VM_MOUNTED_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* What the host knows, of this one start. */
struct mounted {
	const char *nonce;   /* borrowed: must have been read through the mount */
	const uint64_t *ino; /* borrowed: of each workspace, in their order */
	size_t n;	     /* workspaces; without one nothing is mounted and nothing compared */
};

/* 0 where reply.nonce is the nonce and reply.mounts[] names each workspace's index with its inode number; else an error
 * (ERR_INTERNAL) that says which of the two it is, and the machine must not start. */
int mounted_check(const struct mounted *want, const json_t *reply, struct err *err);

#endif
