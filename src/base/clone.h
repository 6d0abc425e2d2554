/* SPDX-License-Identifier: Apache-2.0
 *
 * clone: a copy of a file that shares its blocks where the file system can (FICLONE), else a sparse one: holes stay holes.
 */
#ifndef SBX_BASE_CLONE_H
#define SBX_BASE_CLONE_H

#include <stdbool.h>
#include <stdint.h>

struct clone {
	bool shared;    /* nothing was copied: the blocks are shared until one side writes */
	uint64_t bytes; /* that were copied */
	uint64_t ms;    /* that it took */
};

/* All of from into to, which is empty and open for writing. 0 or -errno. */
int clone_file(int from, int to, struct clone *ret);

#endif
