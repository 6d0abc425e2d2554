/* SPDX-License-Identifier: Apache-2.0
 *
 * savelink: has a machine that stands still written into a directory, or what was written read into memory, by a process of
 * its own (`sbx-frozen --save`, saver.h): it takes as long as the bytes take, needs libcrypto, and the loop must go on.
 */
#ifndef SBX_VM_SAVELINK_H
#define SBX_VM_SAVELINK_H

#include <jansson.h>
#include <stdbool.h>
#include <uv.h>

#include "base/err.h"
#include "vm/shape.h"

enum { SAVELINK_REQUEST = 3, SAVELINK_ANSWER = 4, SAVELINK_FIRST = 5 };

struct savelink;

struct savelink_job {
	const struct shape *shape; /* borrowed */
	bool sync;                 /* of a save: done is called once more when all of it is on the disk */
	int dir;                   /* all borrowed; -1: none */
	/* To be saved; about NULL: to be loaded, into memory, state and files. */
	const json_t *about;
	int memory, state, files, disk, pagemap, mem;
	uint64_t at; /* where pagemap and mem have the memory */
};

/* err NULL: answer (borrowed) is {"disk": {"shared", "bytes", "ms"}} of a save, with "synced" the second time, {"about"} of a load. */
typedef void (*savelink_done)(void *user, const json_t *answer, const struct err *err);

/* Calls done from the loop, unless it is freed before; not again after an error. NULL with err. */
struct savelink *savelink_start(uv_loop_t *loop, const struct savelink_job *job, savelink_done done, void *user, struct err *err);
/* Ends the process. NULL is allowed. The memory goes later, from the loop. */
void savelink_free(struct savelink *l);

#endif
