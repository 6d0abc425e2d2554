/* SPDX-License-Identifier: Apache-2.0
 *
 * filemark: see filemark.h.
 */
#include "base/filemark.h"

#include <errno.h>
#include <sys/stat.h>

int filemark_take(const char *path, struct filemark *ret)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	*ret = (struct filemark){
		.dev = st.st_dev,
		.ino = st.st_ino,
		.size = (uint64_t)st.st_size,
		.changed_s = st.st_ctim.tv_sec,
		.changed_ns = st.st_ctim.tv_nsec,
	};
	return 0;
}

bool filemark_same(const struct filemark *a, const struct filemark *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->changed_s == b->changed_s &&
	       a->changed_ns == b->changed_ns;
}
