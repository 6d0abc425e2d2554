/* SPDX-License-Identifier: Apache-2.0
 *
 * save: writes a machine that runs, as it stands at one moment, into a directory: its memory, the state of its devices and of
 * the file door, and its disk where that is wanted. Afterwards the machine ends, or goes on. One at a time.
 *
 *   QUIET     the guest brings its file door to rest and its disk up to date (/quiesce)
 *   STOPPING  its processors are stopped
 *   STATE     QEMU writes the devices' state
 *   WRITING   sbx-frozen writes everything (savelink.h)
 *   WAKING    the machine goes on: processors, then /wake; also after a failure
 *   SYNCING   what was written reaches the disk; before the end of a machine that is to end
 *
 * What is written has another name until it is complete, so that what a crash leaves is known for what it is. A failure leaves
 * the machine running.
 */
#ifndef SBX_VM_SAVE_H
#define SBX_VM_SAVE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

struct machine;
struct save;

struct save_want {
	const char *into; /* an absolute path where nothing is; "<into>.new" meanwhile */
	bool disk;        /* a copy of the disk goes with it */
	bool sync;        /* what is saved outlives a loss of power */
	bool end;         /* the machine ends when it is saved */
};

/* reply (a new reference, the callee's) says what was written; err NULL then. Once, from the loop. */
typedef void (*save_done)(void *user, json_t *reply, const struct err *err);

/* Only while the machine runs. 0, or negative with err and no call of done. */
int save_begin(struct machine *m, const struct save_want *want, save_done done, void *user, struct err *err);
/* Whether its programs stand still for a save, so that no session begins; not while what was written reaches the disk. */
bool save_holds(const struct machine *m);
/* Whoever asked is gone. */
void save_forget(struct machine *m, const void *user);
/* The machine ends: gives up what is under way, and tells who asked. */
void save_cancel(struct machine *m);

#endif
