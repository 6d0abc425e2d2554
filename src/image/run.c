/* SPDX-License-Identifier: Apache-2.0
 *
 * run: see run.h. Enters: a tool's output, in lines of any length (cut at LINE). A tool that has children of its
 * own is started so that they die with it (bootstrap.c), so SIGKILL is all that is needed to end it.
 */
#include "image/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/env.h"
#include "base/io.h"
#include "base/own.h"
#include "base/spawn.h"
#include "base/str.h"
#include "image/stop.h"

#define LINE 1024
#define TICK_MS 1000

struct watch {
	const struct run *run; /* borrowed */
	const struct job *job; /* borrowed */
	char line[LINE];
	size_t len;
	char cause[LINE]; /* the first line that calls itself an error */
	char last[LINE];
};

static void line_ended(struct watch *w)
{
	char *s = w->line;

	w->line[w->len] = 0;
	w->len = 0;
	if (s[0] == 0 || (w->run->line && w->run->line(w->run->user, s)))
		return;
	(void)str_format(w->last, sizeof(w->last), "%s", s);
	if (!w->cause[0] && (str_starts(s, "E: ") || str_starts(s, "ERROR")))
		(void)str_format(w->cause, sizeof(w->cause), "%s", s);
	(void)io_write_all(w->job->log, s, strlen(s));
	(void)io_write_all(w->job->log, "\n", 1);
}

/* Takes what is there. 1: more may come, 0: the end, -errno. */
static int take(struct watch *w, int fd)
{
	char chunk[8192];
	ssize_t n = read(fd, chunk, sizeof(chunk));

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 1 : -errno;
	for (ssize_t i = 0; i < n; i++) {
		if (chunk[i] == '\n' || chunk[i] == '\r' || w->len == LINE - 1)
			line_ended(w);
		if (chunk[i] != '\n' && chunk[i] != '\r')
			w->line[w->len++] = chunk[i];
	}
	return n > 0;
}

/* Until the tool's output ended or the tool did. */
static int follow(struct watch *w, int out, int pidfd, struct err *err)
{
	uint64_t end = io_now_ms() + RUN_TIMEOUT_MS;
	bool open = true;

	while (open) {
		struct pollfd p[] = { { .fd = out, .events = POLLIN },
				      { .fd = pidfd, .events = POLLIN },
				      { .fd = stop_fd(), .events = POLLIN } };
		int n = poll(p, ARRAY_LEN(p), TICK_MS), r = 1;

		if (n < 0 && errno != EINTR)
			return err_errno(err, errno, "cannot wait for %s", w->run->argv[0]);
		if (n > 0 && p[2].revents)
			return stop_check(err);
		if (io_now_ms() > end)
			return err_set(err, ERR_TIMEOUT, ETIMEDOUT, "%s did not finish within %d minutes", w->run->argv[0],
				       RUN_TIMEOUT_MS / 60000);
		progress_tick(w->job->progress);
		if (n > 0 && p[0].revents)
			r = take(w, out);
		else if (n > 0 && p[1].revents)
			r = 0; /* gone, and nothing is left to read: a stray child may hold the pipe open */
		open = r > 0;
	}
	line_ended(w);
	return 0;
}

int run_tool(const struct run *run, const struct job *j, struct err *err)
{
	auto_fd int out = -1, in = -1, pidfd = -1;
	struct watch w = { .run = run, .job = j };
	struct spawn s = { .path = run->argv[0], .argv = run->argv, .stdin_fd = run->stdin_fd, .cwd = j->dir,
			   .die_with_parent = true };
	int fds[2], status = 0, r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_errno(err, errno, "cannot make a pipe");
	out = fds[0];
	in = fds[1];
	s.stdout_fd = run->stdout_fd < 0 ? in : run->stdout_fd;
	s.stderr_fd = in;
	r = spawn_start(&s, NULL, &pidfd, err);
	if (r < 0)
		return r;
	own_close_p(&in);
	(void)io_set_nonblock(out, true);
	r = follow(&w, out, pidfd, err);
	if (r < 0)
		(void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0U);
	if (spawn_wait(pidfd, RUN_TIMEOUT_MS, &status) < 0 && r == 0)
		r = err_set(err, ERR_TIMEOUT, ETIMEDOUT, "%s closed its output but did not end", run->argv[0]);
	if (r < 0 || status == 0)
		return r;
	return err_set(err, ERR_UNAVAILABLE, EIO, "%.300s (log: %.160s/" JOB_LOG ")",
		       w.cause[0] ? w.cause : w.last[0] ? w.last : "it failed without a word", j->dir);
}

bool run_exists(const char *program)
{
	const char *path = env_get("PATH");

	while (path && *path) {
		size_t n = strcspn(path, ":");
		auto_free char *full = str_new("%.*s/%s", (int)n, path, program);

		if (full && n > 0 && access(full, X_OK) == 0)
			return true;
		path += n + (path[n] == ':');
	}
	return false;
}
