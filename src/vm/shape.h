/* SPDX-License-Identifier: Apache-2.0
 *
 * shape: what makes one machine another one before anything of a sandbox is in it: kernel, initramfs, processors,
 * memory, accelerator, the base layer, and how large the sandbox's disk is. Two machines of the same shape boot to the
 * same point, so that a frozen one serves both.
 */
#ifndef SBX_VM_SHAPE_H
#define SBX_VM_SHAPE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define SHAPE_MAX_INITRDS 4
#define SHAPE_MAX_BYTES 65536 /* as text */

struct shape {
	const char *kernel; /* paths, borrowed */
	const char *initrds[SHAPE_MAX_INITRDS];
	size_t ninitrds;
	const char *base;    /* the lowest layer: its guest has it mounted before it is told who it is */
	uint64_t disk_bytes; /* of the sandbox's own disk, which it has seen but not read */
	unsigned cpus;
	uint64_t memory_mib;
	bool kvm;
	uint64_t tsc_khz;
};

/* A new object; NULL without memory. */
json_t *shape_json(const struct shape *s);
/* The other way; the strings are borrowed from o. */
int shape_read(const json_t *o, struct shape *ret, struct err *err);

#endif
