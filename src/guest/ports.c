/* SPDX-License-Identifier: Apache-2.0
 *
 * ports: see ports.h. A port whose host end is not connected polls as hung up for ever, so that waiting for the host
 * needs the edge: an epoll of its own, edge-triggered.
 */
#include "guest/ports.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "guest/uevent.h"

#define CLASS_DIR "/sys/class/virtio-ports"

struct find {
	const char *name;
	char dev[64];
};

static bool has_name(const char *port, const char *name)
{
	auto_free char *text = NULL;
	char path[160];
	size_t n;

	if (str_format(path, sizeof(path), CLASS_DIR "/%s/name", port) < 0 ||
	    io_read_file(AT_FDCWD, path, 4096, &text, &n) < 0)
		return false;
	text[strcspn(text, "\n")] = 0;
	return str_eq(text, name);
}

static int look(void *arg)
{
	struct find *f = arg;
	auto_dir DIR *d = opendir(CLASS_DIR);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.' && has_name(e->d_name, f->name) &&
		    str_format(f->dev, sizeof(f->dev), "/dev/%s", e->d_name) == 0 && access(f->dev, F_OK) == 0)
			return 1;
	return 0;
}

int ports_open(const char *name, uint64_t deadline_ms, struct err *err)
{
	struct find f = { .name = name };
	int r = uevent_until(look, &f, deadline_ms), fd;

	if (r < 0)
		return err_set(err, r == -ETIMEDOUT ? ERR_TIMEOUT : ERR_INTERNAL, -r,
			       "the virtio-serial port %s did not appear in time", name);
	fd = open(f.dev, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_errno(err, errno, "cannot open the port %s (%s)", name, f.dev);
	return fd;
}

bool ports_connected(int fd)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, 0) >= 0 && !(p.revents & POLLHUP);
}

int ports_watch(int fd)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLET };
	auto_fd int ep = epoll_create1(EPOLL_CLOEXEC);

	if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	return TAKE_FD(ep);
}

void ports_watch_clear(int watch_fd)
{
	struct epoll_event ev;

	(void)epoll_wait(watch_fd, &ev, 1, 0);
}

int ports_wait_host(int fd, uint64_t deadline_ms)
{
	auto_fd int watch = ports_watch(fd);

	if (watch < 0)
		return watch;
	for (;;) {
		struct pollfd p = { .fd = watch, .events = POLLIN };
		uint64_t now = io_now_ms();

		ports_watch_clear(watch);
		if (ports_connected(fd))
			return 0;
		if (now >= deadline_ms)
			return -ETIMEDOUT;
		(void)poll(&p, 1, (int)(deadline_ms - now));
	}
}
