/* SPDX-License-Identifier: Apache-2.0
 *
 * spawn: see spawn.h. Between fork and exec only async-signal-safe calls are made.
 */
#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/own.h"
#include "base/str.h"

static void report(int pipe_fd, int e) __attribute__((noreturn));
static void report(int pipe_fd, int e)
{
	(void)!write(pipe_fd, &e, sizeof(e));
	_exit(127);
}

static void reset_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < 65; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			(void)signal(sig, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Moves every wanted descriptor above the target range first, so that no target is overwritten early. */
static int place_fds(const struct spawn *s, int *pipe_fd)
{
	int high[SPAWN_MAX_FDS + 3], want[3] = { s->stdin_fd, s->stdout_fd, s->stderr_fd };
	int base = 3 + (int)s->nfds + 1, null = -1;

	*pipe_fd = fcntl(*pipe_fd, F_DUPFD_CLOEXEC, base);
	if (*pipe_fd < 0)
		return errno;
	for (size_t i = 0; i < 3 + s->nfds; i++) {
		int from = i < 3 ? want[i] : s->fds[i - 3];

		if (from < 0 && i == 2)
			from = STDERR_FILENO;
		if (from < 0) {
			if (null < 0)
				null = open("/dev/null", O_RDWR | O_CLOEXEC);
			from = null;
		}
		high[i] = fcntl(from, F_DUPFD_CLOEXEC, base);
		if (high[i] < 0)
			return errno;
	}
	for (size_t i = 0; i < 3 + s->nfds; i++)
		if (dup2(high[i], (int)i) < 0)
			return errno;
	/* All but the targets close themselves at exec. */
	if (syscall(SYS_close_range, (unsigned)(3 + s->nfds), ~0U, 4U /* CLOSE_RANGE_CLOEXEC */) < 0)
		return errno;
	return 0;
}

static void child(const struct spawn *s, int pipe_fd, pid_t parent) __attribute__((noreturn));
static void child(const struct spawn *s, int pipe_fd, pid_t parent)
{
	int e;

	reset_signals();
	if (s->new_session) {
		pid_t second;

		(void)setsid();
		second = fork();
		if (second < 0)
			report(pipe_fd, errno);
		if (second > 0)
			_exit(0);
	}
	if (s->die_with_parent) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(127);
	}
	e = place_fds(s, &pipe_fd);
	if (e)
		report(pipe_fd, e);
	if (s->cwd && chdir(s->cwd) < 0)
		report(pipe_fd, errno);
	if (s->envp)
		(void)execvpe(s->path, (char *const *)(uintptr_t)s->argv, (char *const *)(uintptr_t)s->envp);
	else
		(void)execvp(s->path, (char *const *)(uintptr_t)s->argv);
	report(pipe_fd, errno);
}

int spawn_start(const struct spawn *s, pid_t *ret_pid, int *ret_pidfd, struct err *err)
{
	auto_fd int rd = -1, wr = -1, pidfd = -1;
	int p[2], e = 0;
	pid_t pid, self = getpid();
	sigset_t all, old;

	if (s->nfds > SPAWN_MAX_FDS)
		return err_set(err, ERR_INTERNAL, E2BIG, "too many descriptors for %s", s->path);
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_errno(err, errno, "cannot make a pipe");
	rd = p[0];
	wr = p[1];
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &old);
	pid = fork();
	if (pid == 0)
		child(s, wr, self);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	if (pid < 0)
		return err_errno(err, errno, "cannot start a process for %s", s->path);
	own_close_p(&wr);
	if (!s->new_session) {
		pidfd = (int)syscall(SYS_pidfd_open, pid, 0U);
		if (pidfd < 0)
			e = errno;
	}
	if (io_read_full(rd, &e, sizeof(e)) == 0 && e == 0) {
		if (s->new_session)
			(void)waitpid(pid, NULL, 0);
		if (ret_pid)
			*ret_pid = pid;
		if (ret_pidfd)
			*ret_pidfd = TAKE_FD(pidfd);
		return 0;
	}
	(void)waitpid(pid, NULL, 0);
	return err_errno(err, e, "cannot start %s", s->path);
}

int spawn_wait(int pidfd, int timeout_ms, int *ret_status)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	siginfo_t si = { 0 };
	int r;

	do
		r = poll(&p, 1, timeout_ms);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	if (r == 0)
		return -ETIMEDOUT;
	if (waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED) < 0)
		return -errno;
	if (ret_status)
		*ret_status = si.si_code == CLD_EXITED ? (si.si_status & 0xff) << 8 : si.si_status & 0x7f;
	return 0;
}

/* Gathers both outputs until both ends are closed or the deadline passes. */
static int gather(int fds[2], struct buf out[2], int timeout_ms)
{
	uint64_t end = io_now_ms() + (uint64_t)(timeout_ms < 0 ? 0 : timeout_ms);

	while (fds[0] >= 0 || fds[1] >= 0) {
		struct pollfd p[2] = { { .fd = fds[0], .events = POLLIN }, { .fd = fds[1], .events = POLLIN } };
		uint64_t now = io_now_ms();
		int left = timeout_ms < 0 ? -1 : now >= end ? 0 : (int)(end - now);
		int r = poll(p, 2, left);

		if (r < 0 && errno != EINTR)
			return -errno;
		if (r == 0)
			return -ETIMEDOUT;
		for (int i = 0; i < 2 && r > 0; i++) {
			char chunk[4096];
			ssize_t n;

			if (!p[i].revents)
				continue;
			n = read(fds[i], chunk, sizeof(chunk));
			if (n <= 0)
				own_close_p(&fds[i]);
			else if (i == 0 && buf_append(&out[0], chunk, (size_t)n) < 0)
				return -EMSGSIZE;
			else if (i == 1) {
				if ((size_t)n > buf_room(&out[1]))
					buf_consume(&out[1], buf_len(&out[1]));
				(void)buf_append(&out[1], chunk, (size_t)n);
			}
		}
	}
	return 0;
}

static const char *last_line(struct buf *b)
{
	const char *s;

	while (buf_len(b) > 0 && (b->data[b->tail - 1] == '\n' || b->data[b->tail - 1] == '\r'))
		b->tail--;
	s = buf_cstr(b);
	if (!s)
		return "";
	return strrchr(s, '\n') ? strrchr(s, '\n') + 1 : s;
}

int spawn_run(const struct spawn *s, int timeout_ms, size_t max_bytes, char **ret_out, struct err *err)
{
	auto_fd int pidfd = -1;
	int o[2], e[2], r, status = 0, fds[2];
	struct buf out[2];
	struct spawn mine = *s;

	if (pipe2(o, O_CLOEXEC) < 0)
		return err_errno(err, errno, "cannot make a pipe");
	if (pipe2(e, O_CLOEXEC) < 0) {
		r = err_errno(err, errno, "cannot make a pipe");
		(void)close(o[0]);
		(void)close(o[1]);
		return r;
	}
	mine.stdout_fd = o[1];
	mine.stderr_fd = e[1];
	fds[0] = o[0];
	fds[1] = e[0];
	r = spawn_start(&mine, NULL, &pidfd, err);
	(void)close(o[1]);
	(void)close(e[1]);
	buf_init(&out[0], max_bytes);
	buf_init(&out[1], 8192);
	if (r == 0) {
		r = gather(fds, out, timeout_ms);
		if (r < 0)
			(void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0U);
		(void)spawn_wait(pidfd, -1, &status);
		if (r < 0)
			r = err_errno(err, -r, "%s did not finish", s->path);
		else if (status != 0)
			r = err_set(err, ERR_INTERNAL, EIO, "%s failed (%s %d): %.300s", s->path,
				    WIFSIGNALED(status) ? "signal" : "exit",
				    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), last_line(&out[1]));
	}
	own_close_p(&fds[0]);
	own_close_p(&fds[1]);
	if (r == 0 && ret_out) {
		if (buf_cstr(&out[0]))
			*ret_out = (char *)TAKE_PTR(out[0].data);
		else
			r = err_errno(err, ENOMEM, "%s", s->path);
	}
	buf_done(&out[0]);
	buf_done(&out[1]);
	return r;
}
