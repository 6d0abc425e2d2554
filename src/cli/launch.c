/* SPDX-License-Identifier: Apache-2.0
 *
 * launch: see launch.h. Enters: nothing but the directories.
 */
#include "cli/launch.h"

#include <errno.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/ondemand.h"

/* Longer than a daemon that is just ending may take: the new one waits for it. */
#define READY_MS 15000

int launch_connect(struct cli *c, bool start, bool *ret_started)
{
	const struct ondemand o = {
		.program = "sandboxd",
		.name = "sandboxd",
		.runtime_dir = c->dirs.runtime,
		.socket = LAUNCH_SOCKET,
		.state_dir = c->dirs.state,
		.log = LAUNCH_LOG,
		.ready_ms = READY_MS,
	};
	bool started = false;
	int fd = ondemand_connect(&o, start, &started, &c->err);

	if (fd == -ECONNREFUSED && !start)
		cli_hint(c, "sbx daemon start");
	if (fd == -ECONNREFUSED && start)
		cli_hint(c, "tail %.400s/%s", c->dirs.state, LAUNCH_LOG);
	if (started)
		cli_debug(c, "started sandboxd");
	if (started && ret_started)
		*ret_started = true;
	return fd;
}

int launch_watch(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0U);

	return fd < 0 ? -errno : fd;
}

int launch_await_end(int pidfd, int timeout_ms)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int r;

	do
		r = poll(&p, 1, timeout_ms);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r == 0 ? -ETIMEDOUT : 0;
}
