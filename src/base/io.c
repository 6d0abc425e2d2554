/* SPDX-License-Identifier: Apache-2.0
 *
 * io: see io.h.
 */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "base/own.h"
#include "base/str.h"

int io_write_all(int fd, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	while (n > 0) {
		ssize_t w = write(fd, p, n);

		if (w < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

ssize_t io_read_full(int fd, void *bytes, size_t n)
{
	size_t have = 0;

	while (have < n) {
		ssize_t r = read(fd, (uint8_t *)bytes + have, n - have);

		if (r < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (r == 0)
			break;
		have += (size_t)r;
	}
	return (ssize_t)have;
}

int io_read_to_end(int fd, struct buf *out)
{
	uint8_t chunk[16384];

	for (;;) {
		ssize_t r = read(fd, chunk, sizeof(chunk));
		int q;

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			return 0;
		q = buf_append(out, chunk, (size_t)r);
		if (q < 0)
			return q;
	}
}

int io_read_file(int dirfd, const char *path, size_t max_bytes, char **ret, size_t *ret_n)
{
	auto_fd int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct buf b;
	int r;

	if (fd < 0)
		return -errno;
	buf_init(&b, max_bytes);
	r = io_read_to_end(fd, &b);
	if (r == 0 && !buf_cstr(&b))
		r = -ENOMEM;
	if (r < 0) {
		buf_done(&b);
		return r;
	}
	if (ret_n)
		*ret_n = buf_len(&b);
	*ret = (char *)b.data;
	return 0;
}

static int replace_file(int dirfd, const char *name, const void *bytes, size_t n, mode_t mode, bool sync)
{
	char tmp[300];
	auto_fd int fd = -1;
	int r = str_format(tmp, sizeof(tmp), "%s.tmp.%d", name, getpid());

	if (r < 0)
		return r;
	fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return -errno;
	r = io_write_all(fd, bytes, n);
	if (r == 0 && sync && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && renameat(dirfd, tmp, dirfd, name) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlinkat(dirfd, tmp, 0);
		return r;
	}
	if (dirfd >= 0 && sync)
		(void)fsync(dirfd);
	return 0;
}

int io_write_file_atomic(int dirfd, const char *name, const void *bytes, size_t n, mode_t mode)
{
	return replace_file(dirfd, name, bytes, n, mode, true);
}

int io_write_file_whole(int dirfd, const char *name, const void *bytes, size_t n, mode_t mode)
{
	return replace_file(dirfd, name, bytes, n, mode, false);
}

int io_sync_parent(const char *path)
{
	auto_free char *parent = strdup(path);
	char *slash = parent ? strrchr(parent, '/') : NULL;
	auto_fd int dir = -1;

	if (!parent)
		return -ENOMEM;
	if (!slash)
		return -EINVAL;
	slash[slash == parent] = 0; /* the root keeps its slash */
	dir = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* EINVAL: a file system that knows nothing of the kind has done what it can. */
	return dir < 0 || (fsync(dir) < 0 && errno != EINVAL) ? -errno : 0;
}

int io_set_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

int io_socketpair(int fds[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 ? -errno : 0;
}

/* Empties the directory d; the depth bound keeps a hostile tree from exhausting the stack. */
static int remove_below(int dirfd, const char *name, int depth)
{
	auto_dir DIR *d = NULL;
	struct dirent *e;
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d) {
		r = -errno;
		(void)close(fd);
		return r;
	}
	if (depth > 200)
		return -ELOOP;
	while ((e = readdir(d))) {
		if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
			continue;
		if (unlinkat(fd, e->d_name, 0) == 0 || errno == ENOENT)
			continue;
		if (errno != EISDIR && errno != EPERM)
			return -errno;
		r = remove_below(fd, e->d_name, depth + 1);
		if (r < 0)
			return r;
		if (unlinkat(fd, e->d_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
			return -errno;
	}
	return 0;
}

int io_remove_tree(int dirfd, const char *name)
{
	int r;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	r = remove_below(dirfd, name, 0);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int io_mkdirs(const char *path, mode_t mode)
{
	auto_free char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	for (char *p = copy + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = 0;
		if (mkdir(copy, mode) < 0 && errno != EEXIST) {
			struct stat st;
			int e = errno;

			/* A parent on a read-only or foreign mount is fine as long as it is there. */
			if (stat(copy, &st) < 0 || !S_ISDIR(st.st_mode))
				return -e;
		}
		*p = '/';
	}
	return mkdir(copy, mode) < 0 && errno != EEXIST ? -errno : 0;
}

static int unix_address(int dirfd, const char *name, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	return str_format(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", dirfd, name);
}

static int listen_as(int type, int dirfd, const char *name, int backlog)
{
	auto_fd int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa;
	mode_t old;
	int r = unix_address(dirfd, name, &sa);

	if (fd < 0)
		return -errno;
	if (r < 0)
		return r;
	(void)unlinkat(dirfd, name, 0);
	old = umask(0177);
	r = bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
	(void)umask(old);
	if (r < 0)
		return r;
	if (listen(fd, backlog) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static int connect_as(int type, int dirfd, const char *name)
{
	auto_fd int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa;
	int r = unix_address(dirfd, name, &sa);

	if (fd < 0)
		return -errno;
	if (r < 0)
		return r;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int io_connect_now(int type, int dirfd, const char *name)
{
	int fd = connect_as(type | SOCK_NONBLOCK, dirfd, name);

	if (fd >= 0 && fcntl(fd, F_SETFL, 0) < 0) {
		(void)close(fd);
		return -errno;
	}
	return fd;
}

int io_unix_listen(int dirfd, const char *name, int backlog)
{
	return listen_as(SOCK_STREAM, dirfd, name, backlog);
}

int io_unix_connect(int dirfd, const char *name)
{
	return connect_as(SOCK_STREAM, dirfd, name);
}

int io_packet_listen(int dirfd, const char *name, int backlog)
{
	return listen_as(SOCK_SEQPACKET, dirfd, name, backlog);
}

int io_packet_connect(int dirfd, const char *name)
{
	return connect_as(SOCK_SEQPACKET, dirfd, name);
}

int io_peer_uid(int fd, uid_t *ret)
{
	struct ucred cred;
	socklen_t n = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0)
		return -errno;
	*ret = cred.uid;
	return 0;
}

uint64_t io_now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}
