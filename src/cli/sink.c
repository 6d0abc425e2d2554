/* SPDX-License-Identifier: Apache-2.0
 *
 * sink: see sink.h.
 */
#include "cli/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

void sink_init(struct sink *s, int fd)
{
	char path[64];
	struct stat st;
	int again;

	*s = (struct sink){ .fd = fd, .chunk = PIPE_BUF };
	if (fstat(fd, &st) < 0)
		return;
	s->socket = S_ISSOCK(st.st_mode);
	if (s->socket || S_ISREG(st.st_mode))
		s->chunk = SIZE_MAX;
	if (!S_ISFIFO(st.st_mode) || str_format(path, sizeof(path), "/proc/self/fd/%d", fd) < 0)
		return;
	again = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (again >= 0)
		*s = (struct sink){ .fd = again, .owned = true, .chunk = SIZE_MAX };
}

void sink_done(struct sink *s)
{
	if (s->owned)
		(void)close(s->fd);
	s->owned = false;
	s->fd = -1;
}

ssize_t sink_write(const struct sink *s, const void *bytes, size_t n)
{
	ssize_t w;

	if (n > s->chunk)
		n = s->chunk;
	do
		w = s->socket ? send(s->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL) : write(s->fd, bytes, n);
	while (w < 0 && errno == EINTR);
	return w < 0 ? -errno : w;
}
