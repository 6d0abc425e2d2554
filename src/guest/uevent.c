/* SPDX-License-Identifier: Apache-2.0
 *
 * uevent: see uevent.h. The socket is bound before the first look, so that nothing falls between look and wait. A
 * lost announcement (full socket buffer) costs at most one slice.
 */
#include "guest/uevent.h"

#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/io.h"
#include "base/own.h"

#define SLICE_MS 500

static int open_socket(void)
{
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	auto_fd int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static void drain(int fd)
{
	char scrap[8192];

	while (recv(fd, scrap, sizeof(scrap), 0) > 0)
		;
}

int uevent_until(int (*check)(void *arg), void *arg, uint64_t deadline_ms)
{
	auto_fd int fd = open_socket();

	if (fd < 0)
		return fd;
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		uint64_t now;
		int r;

		drain(fd);
		r = check(arg);
		if (r != 0)
			return r < 0 ? r : 0;
		now = io_now_ms();
		if (now >= deadline_ms)
			return -ETIMEDOUT;
		(void)poll(&p, 1, deadline_ms - now < SLICE_MS ? (int)(deadline_ms - now) : SLICE_MS);
	}
}
