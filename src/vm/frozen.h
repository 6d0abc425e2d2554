/* SPDX-License-Identifier: Apache-2.0
 *
 * frozen: a machine that stands still: its memory and the state of its devices, as two files in memory, and how they are
 * kept on the disk. Once sealed nobody can change a byte of them, whoever holds a descriptor: that is what lets machines
 * of different sandboxes share the pages.
 *
 * On the disk a frozen machine is DIR/NAME/{memory,state,manifest}. `memory` is sparse: a page of zeros is a hole. It is
 * written under another name and renamed when complete; what is read is compared with the digests of the manifest.
 */
#ifndef SBX_VM_FROZEN_H
#define SBX_VM_FROZEN_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define FROZEN_KEY 65 /* a key as hex, with its NUL */

struct frozen {
	int memory, state; /* owned; -1: none */
};

/* Two empty files in memory, the first one of memory_bytes. */
int frozen_new(struct frozen *f, uint64_t memory_bytes, struct err *err);
/* Pages of zeros are given back, then both are sealed. Nobody may have them mapped for writing any more (-EBUSY). */
int frozen_seal(struct frozen *f, struct err *err);
void frozen_done(struct frozen *f);

/* The pages that a process has of its own where it has the memory mapped privately: they count instead of the file's. */
struct frozen_over {
	int pagemap, mem; /* borrowed: /proc/PID/pagemap and mem */
	uint64_t at;      /* the address of the mapping */
};

/* Into the directory dir, which is empty: `memory`, `state`, `files` where files is a file (-1: none), and last `manifest`,
 * which is about with what is needed to know all of them again. over may be NULL. */
int frozen_write(const struct frozen *f, int files, const struct frozen_over *over, int dir, json_t *about, struct err *err);
/* Everything that stands in dir is on the disk when it returns, disk.img too. */
int frozen_sync(int dir, struct err *err);
/* What frozen_write wrote, into files that are empty, the first one of the memory's length; files stays empty where there was
 * nothing for it. -EBADMSG: it is not what its manifest says. */
int frozen_read(const struct frozen *f, int files, int dir, json_t **ret_about, struct err *err);

/* Under the directory dirfd. One that is there already is left as it is. */
int frozen_save(const struct frozen *f, int dirfd, const char *name, struct err *err);
/* Sealed. -ENOENT: there is none; -EBADMSG: it was not what its manifest says, and is gone. */
int frozen_load(struct frozen *f, int dirfd, const char *name, uint64_t memory_bytes, struct err *err);
/* Keeps the `keep` ones that were used last; what others left half-written goes after an hour. */
void frozen_prune(int dirfd, size_t keep);

#endif
