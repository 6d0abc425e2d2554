/* SPDX-License-Identifier: Apache-2.0
 *
 * guest: see guest.h. This file is the order of the boot, the reaper and the loop. PID 1 never exits: what cannot go on
 * is said on the console and ends with the power off, so that the host sees a machine that stopped and why.
 */
#include "guest/guest.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/io.h"
#include "base/own.h"
#include "guest/console.h"
#include "guest/cpus.h"
#include "guest/ctl.h"
#include "guest/halt.h"
#include "guest/modules.h"
#include "guest/network.h"
#include "guest/root.h"
#include "guest/session.h"
#include "guest/tune.h"
#include "guest/workspaces.h"
#include "guest/xdgopen.h"

#define DOOR_TIMEOUT_MS 20000
#define DISK_TIMEOUT_MS 20000

static int mount_early(struct err *err)
{
	static const struct {
		const char *type, *at;
	} table[] = { { "devtmpfs", "/dev" }, { "proc", "/proc" }, { "sysfs", "/sys" } };

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		(void)mkdir(table[i].at, 0755);
		if (mount(table[i].type, table[i].at, table[i].type, MS_NOSUID, NULL) < 0 && errno != EBUSY)
			return err_errno(err, errno, "cannot mount %s", table[i].at);
	}
	return 0;
}

static void reap(uv_signal_t *h, int signum)
{
	struct guest *g = h->data;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (WIFEXITED(status) || WIFSIGNALED(status))
			sessions_reaped(g, pid, status);
	g->childless = pid < 0 && errno == ECHILD;
	halt_poke(g);
}

static void nothing(uv_work_t *w)
{
}

static void nothing_done(uv_work_t *w, int status)
{
}

/* The loop makes its threads with the first work that it is given. */
static int start_threads(uv_loop_t *loop)
{
	static uv_work_t first;

	return uv_queue_work(loop, &first, nothing, nothing_done);
}

static int boot(struct guest *g, uv_signal_t *child, struct err *err)
{
	int r;

	(void)umask(022);
	(void)mallopt(M_ARENA_MAX, 1); /* a thread's own is made at its first use, which is after the waking */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)reboot(RB_DISABLE_CAD);
	r = mount_early(err);
	console_open();
	if (r < 0)
		return r;
	tune_limits();
	r = modules_load("/modules", err);
	if (r < 0)
		return r;
	cpus_online();
	r = root_prepare(io_now_ms() + DISK_TIMEOUT_MS, err);
	if (r < 0)
		return r;
	r = uv_loop_init(&g->loop);
	if (r == 0)
		r = uv_signal_init(&g->loop, child);
	if (r == 0)
		r = uv_signal_start(child, reap, SIGCHLD);
	if (r < 0)
		return err_errno(err, -r, "cannot make an event loop");
	child->data = g;
	r = ctl_start(g, io_now_ms() + DOOR_TIMEOUT_MS, err);
	if (r == 0)
		r = workspaces_prepare(io_now_ms() + DOOR_TIMEOUT_MS, err);
	if (r == 0)
		r = start_threads(&g->loop);
	cpus_one();
	return r < 0 ? r : network_open(err);
}

int guest_main(int argc, char **argv)
{
	static struct guest g;
	static uv_signal_t child;
	struct err err = { 0 };

	if (argc > 0 && getpid() != 1 && xdgopen_is(argv[0]))
		return xdgopen_main(argc, argv);
	if (getpid() != 1) {
		(void)fprintf(stderr, "sbx-guest %s runs inside a sandbox only, as its first process\n", SBX_VERSION);
		return 2;
	}
	if (boot(&g, &child, &err) < 0) {
		console_line("%s", err.msg);
		halt_now();
	}
	(void)uv_run(&g.loop, UV_RUN_DEFAULT);
	console_line("the event loop ended");
	halt_now();
}
