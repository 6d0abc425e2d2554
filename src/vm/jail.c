/* SPDX-License-Identifier: Apache-2.0
 *
 * jail: see jail.h. A program that is linked with a library elsewhere does not start, and its loader says so.
 */
#include "vm/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hostprog.h"
#include "base/io.h"
#include "base/own.h"
#include "base/spawn.h"
#include "base/str.h"

#define LIBRARIES "/usr/lib/x86_64-linux-gnu"

static void push(struct jail *j, const char *s)
{
	if (j->n + 1 >= JAIL_MAX_ARGS) {
		j->full = true;
		return;
	}
	j->argv[j->n++] = s;
	j->argv[j->n] = NULL;
}

void jail_arg(struct jail *j, const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	va_end(ap);
	if (!s || j->nowned >= JAIL_MAX_ARGS) {
		free(s);
		j->full = true;
		return;
	}
	j->owned[j->nowned++] = s;
	push(j, s);
}

void jail_show(struct jail *j, const char *path)
{
	push(j, "--ro-bind-try");
	jail_arg(j, "%s", path);
	jail_arg(j, "%s", path);
}

/* Each mount costs bubblewrap a look at all mounts, and QEMU is linked with fifty libraries: one mount shows them all. */
static void show_libraries(struct jail *j)
{
	push(j, "--ro-bind");
	push(j, LIBRARIES);
	push(j, LIBRARIES);
	push(j, "--symlink");
	push(j, "usr/lib");
	push(j, "/lib");
	push(j, "--symlink");
	push(j, LIBRARIES "/ld-linux-x86-64.so.2");
	push(j, "/lib64/ld-linux-x86-64.so.2");
}

static void namespaces(struct jail *j, unsigned flags)
{
	bool owner = (flags & JAIL_FILE_OWNER) && geteuid() == 0;

	if (!owner)
		push(j, "--unshare-user");
	push(j, "--unshare-ipc");
	push(j, "--unshare-pid");
	if (!(flags & JAIL_NETWORK))
		push(j, "--unshare-net");
	push(j, "--unshare-uts");
	push(j, "--unshare-cgroup-try");
	push(j, "--cap-drop");
	push(j, "ALL");
	if (owner) {
		push(j, "--cap-add");
		push(j, "CAP_DAC_OVERRIDE");
		push(j, "--cap-add");
		push(j, "CAP_FOWNER");
	}
	push(j, "--die-with-parent");
	push(j, "--as-pid-1");
	push(j, "--clearenv");
	push(j, "--new-session");
	push(j, "--hostname");
	push(j, "jail");
	if (flags & JAIL_PROC) {
		push(j, "--proc");
		push(j, "/proc");
	}
}

/* A program of the system finds its data by its path. One of ours may stand anywhere, in somebody's home, and a path in
 * the jail would tell where: it stands in the root. */
static void show_program(struct jail *j, const char *program)
{
	const char *name = strrchr(program, '/');

	j->program = program;
	if (str_starts(program, "/usr/") || !name) {
		jail_show(j, program);
		return;
	}
	push(j, "--ro-bind");
	jail_arg(j, "%s", program);
	jail_arg(j, "%s", name);
	j->program = j->full ? NULL : j->owned[j->nowned - 1];
}

int jail_init(struct jail *j, const char *program, unsigned flags, struct err *err)
{
	int p[2], r = hostprog_bwrap(err);

	*j = (struct jail){ .info_rd = -1, .info_wr = -1 };
	if (r < 0)
		return r;
	if (access(program, X_OK) < 0)
		return err_set(err, ERR_UNAVAILABLE, errno, "the program %s is missing", program);
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_errno(err, errno, "cannot make a pipe");
	j->info_rd = p[0];
	j->info_wr = p[1];
	push(j, "bwrap");
	namespaces(j, flags);
	show_program(j, program);
	show_libraries(j);
	return 0;
}

void jail_run(struct jail *j, size_t nfds)
{
	push(j, "--remount-ro");
	push(j, "/");
	push(j, "--chdir");
	push(j, "/");
	push(j, "--info-fd");
	jail_arg(j, "%zu", 3 + nfds);
	push(j, "--");
	push(j, j->program);
}

int jail_start(struct jail *j, const int *fds, size_t nfds, int stderr_fd, int *ret_pidfd, struct err *err)
{
	int all[SPAWN_MAX_FDS];
	struct spawn s = { .path = HOSTPROG_BWRAP,
			   .argv = j->argv,
			   .stdin_fd = -1,
			   .stdout_fd = -1,
			   .stderr_fd = stderr_fd,
			   .fds = all,
			   .nfds = nfds + 1,
			   .die_with_parent = true };
	int r;

	if (j->full || nfds + 1 > SPAWN_MAX_FDS)
		return err_set(err, ERR_INTERNAL, E2BIG, "too many arguments for %s", j->argv[0]);
	memcpy(all, fds, nfds * sizeof(*fds));
	all[nfds] = j->info_wr;
	r = spawn_start(&s, NULL, ret_pidfd, err);
	own_close_p(&j->info_wr);
	return r;
}

pid_t jail_pid(struct jail *j, int timeout_ms)
{
	uint64_t end = io_now_ms() + (uint64_t)timeout_ms, pid = 0;
	char text[256];
	size_t n = 0;
	const char *at;

	while (n < sizeof(text) - 1) {
		struct pollfd p = { .fd = j->info_rd, .events = POLLIN };
		uint64_t now = io_now_ms();
		ssize_t got;

		if (now >= end || poll(&p, 1, (int)(end - now)) <= 0)
			return -ETIMEDOUT;
		got = read(j->info_rd, text + n, sizeof(text) - 1 - n);
		if (got <= 0)
			break;
		n += (size_t)got;
		if (memchr(text, '}', n))
			break;
	}
	text[n] = 0;
	at = strstr(text, "\"child-pid\": ");
	if (!at)
		return -EIO;
	for (at += 13; *at >= '0' && *at <= '9'; at++)
		pid = pid * 10 + (uint64_t)(*at - '0');
	return (pid_t)pid;
}

void jail_done(struct jail *j)
{
	for (size_t i = 0; i < j->nowned; i++)
		free(j->owned[i]);
	own_close_p(&j->info_rd);
	own_close_p(&j->info_wr);
	j->n = j->nowned = 0;
}
