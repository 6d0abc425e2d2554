/* SPDX-License-Identifier: Apache-2.0
 *
 * restore: goes on with a session that another sbx-fs has served: the numbers that the guest's kernel holds stand for the
 * same files, open files and locks again.
 *
 * Files are found by their places below the roots of this configuration, and nothing of the state decides what may be
 * written. The host may have changed them meanwhile: a node stands for what is at its place now, where that is of the same
 * type; otherwise it answers ESTALE, until the guest meets the very file under another name. An open file is opened again,
 * without O_TRUNC; what had no name any more is a file in memory with the content that was saved; what cannot be opened answers ESTALE. Pages of a file that a program has mapped are never asked for again, so
 * that the guest's kernel is told of those that the host has changed. A lock that cannot be had is lost. Requests for locks wait on.
 */
#ifndef SBX_SHARE_RESTORE_H
#define SBX_SHARE_RESTORE_H

#include "base/err.h"
#include "share/fs.h"

struct restore_report {
	size_t nodes, replaced, gone, kept; /* kept: in memory, because it has no name; replaced: another file has that name now; gone: none, or of another type */
	size_t handles, lost_handles, stale_handles; /* stale: the file's content is not the one that it was */
	size_t locks, lost_locks;
	size_t waits;
};

/* So many files at most does the guest's kernel hear of, as many as its relay holds back. */
#define RESTORE_MAX_TOLD 512

/* Reads fd, a regular file, from its beginning. f is new. On failure f is good for fs_done only. */
int restore_state(struct fs *f, int fd, struct restore_report *ret, struct err *err);
/* struct door_ops; user is a struct fs. The guest goes on and hears what has changed. */
void restore_go(void *user);

#endif
