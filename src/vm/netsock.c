/* SPDX-License-Identifier: Apache-2.0
 *
 * netsock: see netsock.h. connect(2) to /proc/self/fd/N follows to the socket's inode, whether it still has a name or
 * not. The listening end's credentials are QEMU's, which calls listen(2) once more: its uid is ours.
 */
#include "vm/netsock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"

#define NAME "net.sock"
/* One proxy is connected; its successor may come before QEMU has seen the end of the first. */
#define BACKLOG 4

int netsock_make(const char *dir, int *ret_listen, int *ret_path, struct err *err)
{
	auto_fd int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1, path = -1;

	if (at < 0)
		return err_errno(err, errno, "cannot open %s", dir);
	fd = io_unix_listen(at, NAME, BACKLOG);
	if (fd < 0)
		return err_errno(err, -fd, "cannot make the network door's socket in %s", dir);
	path = openat(at, NAME, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (path < 0)
		return err_errno(err, errno, "cannot find the network door's socket in %s", dir);
	if (unlinkat(at, NAME, 0) < 0)
		return err_errno(err, errno, "cannot hide the network door's socket in %s", dir);
	*ret_listen = TAKE_FD(fd);
	*ret_path = TAKE_FD(path);
	return 0;
}

int netsock_connect(int path_fd)
{
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	uid_t uid;
	int r;

	if (fd < 0)
		return -errno;
	r = str_format(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d", path_fd);
	if (r < 0)
		return r;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	r = io_peer_uid(fd, &uid);
	if (r < 0)
		return r;
	return uid == geteuid() ? TAKE_FD(fd) : -EPERM;
}
