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

/* Under the directory dirfd. One that is there already is left as it is. */
int frozen_save(const struct frozen *f, int dirfd, const char *name, struct err *err);
/* Sealed. -ENOENT: there is none; -EBADMSG: it was not what its manifest says, and is gone. */
int frozen_load(struct frozen *f, int dirfd, const char *name, uint64_t memory_bytes, struct err *err);
/* Keeps the `keep` ones that were used last; what others left half-written goes after an hour. */
void frozen_prune(int dirfd, size_t keep);

#endif
