/* SPDX-License-Identifier: Apache-2.0
 *
 * clone: see clone.h. copy_file_range(2) keeps the bytes in the kernel; where it cannot (another file system, an old
 * kernel) they are read and written.
 */
#include "base/clone.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"

#define PIECE (UINT64_C(64) << 20) /* of one copy_file_range */
#define CHUNK (UINT64_C(1) << 20)

static int by_hand(int from, int to, off_t at, off_t end)
{
	auto_free uint8_t *buf = malloc(CHUNK);

	if (!buf)
		return -ENOMEM;
	while (at < end) {
		size_t want = (uint64_t)(end - at) < CHUNK ? (size_t)(end - at) : CHUNK;
		ssize_t n = pread(from, buf, want, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		for (ssize_t done = 0; done < n;) {
			ssize_t w = pwrite(to, buf + done, (size_t)(n - done), at + done);

			if (w < 0 && errno != EINTR)
				return -errno;
			done += w > 0 ? w : 0;
		}
		at += n;
	}
	return 0;
}

static int copy_extent(int from, int to, off_t at, off_t end)
{
	while (at < end) {
		off_t in = at, out = at;
		size_t want = (uint64_t)(end - at) < PIECE ? (size_t)(end - at) : PIECE;
		ssize_t n = copy_file_range(from, &in, to, &out, want, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EXDEV && errno != ENOSYS && errno != EINVAL && errno != EOPNOTSUPP)
			return -errno;
		if (n <= 0)
			return by_hand(from, to, at, end);
		at += n;
	}
	return 0;
}

static int copy_sparse(int from, int to, off_t size, uint64_t *ret_bytes)
{
	off_t at = 0;

	if (ftruncate(to, size) < 0)
		return -errno;
	while (at < size) {
		off_t data = lseek(from, at, SEEK_DATA), hole;
		int r;

		if (data < 0)
			return errno == ENXIO ? 0 : -errno;
		hole = lseek(from, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		r = copy_extent(from, to, data, hole);
		if (r < 0)
			return r;
		*ret_bytes += (uint64_t)(hole - data);
		at = hole;
	}
	return 0;
}

int clone_file(int from, int to, struct clone *ret)
{
	uint64_t began = io_now_ms();
	struct clone c = { 0 };
	struct stat st;
	int r = 0;

	c.shared = ioctl(to, FICLONE, from) == 0;
	if (!c.shared)
		r = fstat(from, &st) < 0 ? -errno : copy_sparse(from, to, st.st_size, &c.bytes);
	if (r < 0)
		return r;
	c.ms = io_now_ms() - began;
	*ret = c;
	return 0;
}
