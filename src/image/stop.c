/* SPDX-License-Identifier: Apache-2.0
 *
 * stop: see stop.h. The signal is never read from the descriptor, so that it stays readable.
 */
#include "image/stop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

static int fd = -1;

int stop_init(struct err *err)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGHUP);
	(void)signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return err_errno(err, errno, "cannot block signals");
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? err_errno(err, errno, "cannot watch for signals") : 0;
}

int stop_fd(void)
{
	return fd;
}

int stop_check(struct err *err)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (poll(&p, 1, 0) != 1)
		return 0;
	return err_set(err, ERR_UNAVAILABLE, EINTR, "interrupted; what is finished is kept, the next run continues");
}
