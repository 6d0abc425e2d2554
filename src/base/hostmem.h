/* SPDX-License-Identifier: Apache-2.0
 *
 * hostmem: how much memory this process and its children may still take, as the kernel tells it: of the host
 * (/proc/meminfo), and of each control group that this process is in, version 1 or 2, since the tightest one counts.
 */
#ifndef SBX_BASE_HOSTMEM_H
#define SBX_BASE_HOSTMEM_H

#include <stdint.h>

struct hostmem {
	uint64_t total;     /* bytes; of the host, or what the tightest group may have where that is less */
	uint64_t available; /* bytes; without swapping: page cache counts as free */
	char group[256];    /* the group that `available` comes from; "": the host */
};

/* root stands before each path ("" outside of tests). Groups that cannot be read are passed over. -errno where the host's
 * memory cannot be told. */
int hostmem_read(const char *root, struct hostmem *ret);

#endif
