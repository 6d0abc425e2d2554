/* SPDX-License-Identifier: Apache-2.0
 *
 * restore: goes on with a session that another sbx-fs has served: the numbers that the guest's kernel holds stand for the
 * same files, open files and locks again.
 *
 * Files are found by their places below the roots of this configuration, and nothing of the state decides what may be
 * written. The host may have changed them meanwhile: a node stands for what is at its place now, where that is of the same
 * type; otherwise it answers ESTALE, until the guest meets the very file under another name. An open file is opened again,
 * without O_TRUNC; one that cannot be answers ESTALE. A lock that cannot be had is lost. Requests for locks wait on.
 */
#ifndef SBX_SHARE_RESTORE_H
#define SBX_SHARE_RESTORE_H

#include "base/err.h"
#include "share/fs.h"

struct restore_report {
	size_t nodes, replaced, gone; /* replaced: another file has that name now; gone: none, or of another type */
	size_t handles, lost_handles;
	size_t locks, lost_locks;
	size_t waits;
};

/* Reads fd, a regular file, from its beginning. f is new. On failure f is good for fs_done only. */
int restore_state(struct fs *f, int fd, struct restore_report *ret, struct err *err);

#endif
