/* SPDX-License-Identifier: Apache-2.0
 *
 * frozenview: see frozenview.h.
 */
#include "vm/frozenview.h"

#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096

/* To look at a hole of a file in memory fills it: only what is data is touched. */
static void populate(const struct frozenview *v, int fd)
{
	off_t at = 0, end = (off_t)v->bytes;

	while (at < end) {
		off_t data = lseek(fd, at, SEEK_DATA), hole;

		if (data < 0)
			return;
		data -= data % PAGE;
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole <= data || madvise((uint8_t *)v->at + data, (size_t)(hole - data), MADV_POPULATE_READ) < 0)
			return;
		at = hole;
	}
}

void frozenview_open(struct frozenview *v, int fd)
{
	struct stat st;
	void *at;

	*v = (struct frozenview){ 0 };
	if (fstat(fd, &st) < 0 || st.st_size <= 0)
		return;
	/* Before Linux 6.7 a file that is sealed against writing cannot be mapped shared, not even for reading. */
	at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
	if (at == MAP_FAILED)
		return;
	*v = (struct frozenview){ .at = at, .bytes = (size_t)st.st_size };
	populate(v, fd);
}

void frozenview_close(struct frozenview *v)
{
	if (v->at)
		(void)munmap(v->at, v->bytes);
	*v = (struct frozenview){ 0 };
}
