/* SPDX-License-Identifier: Apache-2.0
 *
 * netproc: see netproc.h.
 */
#include "vm/netproc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/env.h"
#include "base/own.h"
#include "base/spawn.h"
#include "base/str.h"
#include "vm/jail.h"

#define JAIL_MS 5000
#define END_MS 5000
#define FDS 3

void netproc_init(struct netproc *p, uv_loop_t *loop)
{
	*p = (struct netproc){ .loop = loop, .pidfd = -1 };
}

static int spawn(struct netproc *p, const char *id, const int fds[FDS], struct err *err)
{
	auto_free char *program = env_program("sbx-proxy");
	auto_free struct jail *j = calloc(1, sizeof(*j));
	auto_fd int err_rd = -1, err_wr = -1;
	int pair[2], r;

	if (!j || !program)
		return err_errno(err, ENOMEM, "cannot start sbx-proxy");
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_errno(err, errno, "cannot make a pipe");
	err_rd = pair[0];
	err_wr = pair[1];
	r = jail_init(j, program, JAIL_NETWORK, err);
	if (r == 0) {
		jail_run(j, FDS);
		jail_arg(j, "--id");
		jail_arg(j, "%s", id);
		r = jail_start(j, fds, FDS, err_wr, &p->pidfd, err);
	}
	if (r == 0) {
		p->pid = jail_pid(j, JAIL_MS);
		p->said = console_to_log(p->loop, TAKE_FD(err_rd), "sbx-proxy");
	}
	jail_done(j);
	return r;
}

int netproc_start(struct netproc *p, const char *id, const int fds[FDS], uv_poll_cb ended, void *user, struct err *err)
{
	int r = spawn(p, id, fds, err);

	if (r < 0)
		return r;
	p->exit = calloc(1, sizeof(*p->exit));
	if (!p->said || !p->exit || uv_poll_init(p->loop, p->exit, p->pidfd) < 0) {
		free(TAKE_PTR(p->exit));
		return err_errno(err, ENOMEM, "cannot watch sbx-proxy");
	}
	p->exit->data = user;
	r = uv_poll_start(p->exit, UV_READABLE, ended);
	return r < 0 ? err_errno(err, -r, "cannot watch sbx-proxy") : 0;
}

void netproc_kill(const struct netproc *p)
{
	if (p->pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0U);
}

static void poll_closed(uv_handle_t *h)
{
	free(h);
}

void netproc_bury(struct netproc *p, char *words, size_t size)
{
	int status = 0;

	if (p->exit)
		uv_close((uv_handle_t *)p->exit, poll_closed);
	netproc_kill(p);
	if (p->pidfd >= 0)
		(void)spawn_wait(p->pidfd, END_MS, &status);
	own_close_p(&p->pidfd);
	console_drain(p->said);
	(void)str_format(words, size, "status 0x%x, %.200s", (unsigned)status, console_last(p->said));
	console_free(p->said);
	netproc_init(p, p->loop);
}
