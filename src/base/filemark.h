/* SPDX-License-Identifier: Apache-2.0
 *
 * filemark: what tells whether a file is still the one that was looked at. A file that was replaced, written to, renamed
 * into place or given other rights has another mark, since the kernel alone sets the time of the last change (ctime).
 */
#ifndef SBX_BASE_FILEMARK_H
#define SBX_BASE_FILEMARK_H

#include <stdbool.h>
#include <stdint.h>

struct filemark {
	uint64_t dev, ino, size;
	int64_t changed_s, changed_ns; /* ctime */
};

/* Links are followed. -errno */
int filemark_take(const char *path, struct filemark *ret);
bool filemark_same(const struct filemark *a, const struct filemark *b);

#endif
