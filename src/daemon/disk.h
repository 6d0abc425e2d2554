/* SPDX-License-Identifier: Apache-2.0
 *
 * disk: the directories STATE/sandboxes/<id> and the ext4 disk in each. A directory is `<id>.new` until its record is
 * in the registry, and `<id>.old` from the moment its record is to go, so that whatever moment a crash chooses,
 * disk_sweep knows which side won. A directory of neither kind is never removed. One more disk, formatted ahead, lies in
 * STATE/spare under a name that it gets when it is complete; each has been formatted by itself, and no two are alike.
 */
#ifndef SBX_DAEMON_DISK_H
#define SBX_DAEMON_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct disk_home {
	int fd;    /* owned: STATE/sandboxes */
	int spare; /* owned: STATE/spare */
	char path[4096], spare_path[4096];
};

/* Makes and opens STATE/sandboxes. */
int disk_open(struct disk_home *h, const char *state_dir, struct err *err);
void disk_close(struct disk_home *h);

/* Whether a disk could be made now: the directory can be written to, and is not full. */
int disk_ready(const struct disk_home *h, struct err *err);
/* <id>.new with a sparse, formatted disk.img of that size: the spare one where it has it. On failure nothing is left. */
int disk_make(const struct disk_home *h, const char *id, uint64_t bytes, struct err *err);
/* <id>.new becomes <id>: the record is committed. */
int disk_commit(const struct disk_home *h, const char *id, struct err *err);
/* Gives <id>.new up. */
void disk_abort(const struct disk_home *h, const char *id);
/* <id> becomes <id>.old, before the record goes; a missing one is no error. */
int disk_retire(const struct disk_home *h, const char *id, struct err *err);
/* Takes that back (the record could not be removed). */
void disk_restore(const struct disk_home *h, const char *id);
/* Begins to format the spare one, in a process of low priority; *ret_pidfd is the caller's. 1: there is one of that size. One at a time. */
int disk_spare_begin(const struct disk_home *h, uint64_t bytes, int *ret_pidfd, struct err *err);
/* The process has ended, and well or not. false: there is no spare one. */
bool disk_spare_end(const struct disk_home *h, bool formatted);
/* A descriptor of the disk in <id>.old: its removal takes the name at once, and the blocks, which may take long, when it is closed. -1: none. */
int disk_hold(const struct disk_home *h, const char *id);
/* Removes <id>.old, after the record went. */
int disk_remove(const struct disk_home *h, const char *id, struct err *err);
/* After a crash: finishes or undoes what was begun. has_record says whether the registry knows an id. */
void disk_sweep(const struct disk_home *h, bool (*has_record)(void *user, const char *id), void *user);

#endif
