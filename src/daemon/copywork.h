/* SPDX-License-Identifier: Apache-2.0
 *
 * copywork: a saved machine (vm/save.h) and its disk copied to another directory, on a thread. The memory's files never
 * change, so that both have the same ones (hard links); the disk is a copy, or shares its blocks where the file system can.
 */
#ifndef SBX_DAEMON_COPYWORK_H
#define SBX_DAEMON_COPYWORK_H

#include <uv.h>

#include "base/clone.h"
#include "base/err.h"

/* clone says how the disk was copied; err NULL on success. Once, from the loop. */
typedef void copywork_done(void *user, const struct clone *clone, const struct err *err);

struct copywork_want {
	int memory; /* directory of memory, state, files, manifest; -1: none */
	int disk;   /* directory of disk.img; -1: none */
	int to_memory, to_disk; /* directories that have neither */
};

/* The descriptors stay the caller's. 0 or negative with err. */
int copywork_start(uv_loop_t *loop, const struct copywork_want *want, copywork_done *done, void *user, struct err *err);

#endif
