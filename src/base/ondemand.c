/* SPDX-License-Identifier: Apache-2.0
 *
 * ondemand: see ondemand.h. Enters: nothing but the directories and the daemon's log, of which one line may become part
 * of an error, escaped.
 */
#include "base/ondemand.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/env.h"
#include "base/io.h"
#include "base/own.h"
#include "base/spawn.h"
#include "base/str.h"

/* Longer than the start that the lock's holder waits for. */
#define LOCK_SLACK_MS 5000
#define CONNECT_MS 5000
#define LOG_TAIL 4096
#define LOG_MAX_BYTES (4 << 20)
#define TICK_MS 10

struct start {
	const struct ondemand *o;
	struct err *err;
	int dir;       /* runtime directory; borrowed */
	int notify;    /* inotify on it; owned by start_daemon */
	int alive;     /* read end of the daemon's pipe; owned */
	off_t log_end; /* where this daemon's lines start in the log */
};

/* --- calls that cannot be given a deadline: they are made again and again, without a signal, so that any thread may --- */

/* false: the time is over, or it was cancelled. */
static bool wait_a_little(uint64_t end_ms, int cancel)
{
	struct pollfd p = { .fd = cancel > 0 ? cancel : -1, .events = POLLIN };

	return io_now_ms() < end_ms && poll(&p, 1, TICK_MS) <= 0;
}

static int try_connect(const struct ondemand *o, int dir)
{
	uint64_t end = io_now_ms() + CONNECT_MS;
	int fd;

	do
		fd = io_connect_now(o->packets ? SOCK_SEQPACKET : SOCK_STREAM, dir, o->socket);
	while (fd == -EAGAIN && wait_a_little(end, o->cancel));
	return fd == -EAGAIN ? -ETIMEDOUT : fd;
}

static int lock_within(int fd, int timeout_ms, int cancel)
{
	uint64_t end = io_now_ms() + (uint64_t)timeout_ms;
	int r;

	do
		r = flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
	while ((r == -EWOULDBLOCK || r == -EINTR) && wait_a_little(end, cancel));
	return r == -EWOULDBLOCK || r == -EINTR ? -ETIMEDOUT : r;
}

int ondemand_lock(int fd, int timeout_ms)
{
	return lock_within(fd, timeout_ms, 0);
}

/* --- start --- */

/* Root with somebody else's XDG directories would leave files there that their owner cannot use. */
static int check_owner(const char *dir, struct err *err)
{
	struct stat st;

	if (stat(dir, &st) < 0)
		return err_errno(err, errno, "cannot use %s", dir);
	if (st.st_uid != geteuid())
		return err_set(err, ERR_DENIED, EPERM,
			       "%s belongs to another user (uid %u): unset XDG_RUNTIME_DIR and XDG_STATE_HOME, or run as "
			       "that user",
			       dir, st.st_uid);
	return 0;
}

static int open_log(struct start *s)
{
	const struct ondemand *o = s->o;
	auto_free char *path = str_new("%s/%s", o->state_dir, o->log);
	struct stat st = { 0 };
	int fd, r = env_ensure(o->state_dir, s->err);

	if (r == 0)
		r = check_owner(o->state_dir, s->err);
	if (r == 0)
		r = check_owner(o->runtime_dir, s->err);
	if (r < 0)
		return r;
	if (!path)
		return err_set(s->err, ERR_INTERNAL, ENOMEM, "out of memory");
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(s->err, errno, "cannot write to %s", path);
	/* What earlier ones said is kept up to a bound. */
	if (fstat(fd, &st) == 0 && st.st_size > LOG_MAX_BYTES && ftruncate(fd, 0) == 0)
		st.st_size = 0;
	s->log_end = st.st_size;
	return fd;
}

static int spawn_daemon(struct start *s)
{
	auto_free char *program = env_program(s->o->program);
	auto_fd int log = -1, keep = -1;
	const char *argv[] = { s->o->program, NULL };
	int p[2], r;

	if (!program)
		return err_set(s->err, ERR_INTERNAL, ENOENT, "cannot tell where sbx is installed: is /proc mounted?");
	log = open_log(s);
	if (log < 0)
		return log;
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_errno(s->err, errno, "cannot make a pipe");
	s->alive = p[0];
	keep = p[1];
	r = spawn_start(&(struct spawn){ .path = program,
					 .argv = argv,
					 .stdin_fd = -1,
					 .stdout_fd = log,
					 .stderr_fd = log,
					 .fds = &keep,
					 .nfds = 1,
					 .new_session = true,
					 .cwd = "/" },
			NULL, NULL, s->err);
	return r < 0 ? r : 0;
}

/* The last line that this daemon wrote to its log; "" where it said nothing. */
static void last_words(const struct start *s, char *dst, size_t size)
{
	auto_free char *path = str_new("%s/%s", s->o->state_dir, s->o->log);
	auto_free char *own = str_new(" %s ", s->o->program);
	auto_fd int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	char tail[LOG_TAIL + 1];
	off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END), from = s->log_end;
	ssize_t n;
	char *line;

	dst[0] = 0;
	if (end <= from || !own)
		return;
	if (end - from > LOG_TAIL)
		from = end - LOG_TAIL;
	n = pread(fd, tail, LOG_TAIL, from);
	while (n > 0 && (tail[n - 1] == '\n' || tail[n - 1] == '\r'))
		n--;
	if (n <= 0)
		return;
	tail[n] = 0;
	line = strrchr(tail, '\n');
	line = line ? line + 1 : tail;
	/* Time, level and program are known. */
	if (strstr(line, own))
		line = strstr(line, own) + strlen(own);
	str_escape(dst, size, line, strlen(line));
}

static int failed(const struct start *s, const char *what)
{
	char words[320];

	last_words(s, words, sizeof(words));
	return err_set(s->err, ERR_UNAVAILABLE, ECONNREFUSED, "%s %s%s%s", s->o->program, what, words[0] ? ": " : "", words);
}

static void drain(int fd)
{
	char events[4096];

	while (read(fd, events, sizeof(events)) > 0)
		;
}

/* Connects as soon as the daemon accepts. */
static int await_ready(const struct start *s)
{
	uint64_t end = io_now_ms() + (uint64_t)s->o->ready_ms;
	int wait = s->o->ready_ms;

	for (;;) {
		struct pollfd p[3] = { { .fd = s->notify, .events = POLLIN }, { .fd = s->alive, .events = POLLIN },
				       { .fd = s->o->cancel > 0 ? s->o->cancel : -1, .events = POLLIN } };
		int fd = try_connect(s->o, s->dir);
		uint64_t now = io_now_ms();

		if (fd >= 0)
			return fd;
		if (now >= end)
			return failed(s, "did not get ready in time");
		if (wait > (int)(end - now))
			wait = (int)(end - now);
		if (poll(p, 3, wait) < 0 && errno != EINTR)
			return err_errno(s->err, errno, "cannot wait for %s", s->o->program);
		if (p[2].revents)
			return err_set(s->err, ERR_UNAVAILABLE, ECANCELED, "nobody waits for %s any more", s->o->program);
		if (p[1].revents) {
			fd = try_connect(s->o, s->dir);
			return fd >= 0 ? fd : failed(s, "did not start");
		}
		/* Between bind and listen the socket is there and refuses: look again soon. */
		wait = p[0].revents || wait == 5 ? 5 : s->o->ready_ms;
		drain(s->notify);
	}
}

static int start_locked(struct start *s)
{
	int r;

	s->notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (s->notify < 0 || inotify_add_watch(s->notify, s->o->runtime_dir, IN_CREATE | IN_MOVED_TO | IN_ATTRIB) < 0)
		return err_errno(s->err, errno, "cannot watch %s", s->o->runtime_dir);
	r = spawn_daemon(s);
	return r < 0 ? r : await_ready(s);
}

static int start_daemon(const struct ondemand *o, int dir, bool *ret_started, struct err *err)
{
	auto_free char *name = str_new("%s.start.lock", o->name);
	auto_fd int lock = name ? openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
	struct start s = { .o = o, .err = err, .dir = dir, .notify = -1, .alive = -1 };
	int fd, r;

	if (lock < 0)
		return err_errno(err, errno, "cannot open %s/%s", o->runtime_dir, name ? name : o->name);
	r = lock_within(lock, o->ready_ms + LOCK_SLACK_MS, o->cancel);
	if (r < 0)
		return err_errno(err, -r, "cannot lock %s/%s", o->runtime_dir, name);
	fd = try_connect(o, dir);
	if (fd >= 0)
		return fd;
	fd = start_locked(&s);
	own_close_p(&s.notify);
	own_close_p(&s.alive);
	if (fd >= 0 && ret_started)
		*ret_started = true;
	return fd;
}

int ondemand_connect(const struct ondemand *o, bool start, bool *ret_started, struct err *err)
{
	auto_fd int dir = -1;
	int fd, r = start ? env_ensure(o->runtime_dir, err) : 0;

	if (r < 0)
		return r;
	dir = open(o->runtime_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = dir < 0 ? -errno : try_connect(o, dir);
	if (fd >= 0)
		return fd;
	if (fd != -ENOENT && fd != -ECONNREFUSED)
		return err_errno(err, -fd, "cannot connect to %s/%s", o->runtime_dir, o->socket);
	if (start)
		return start_daemon(o, dir, ret_started, err);
	return err_set(err, ERR_UNAVAILABLE, ECONNREFUSED, "%s is not running", o->program);
}
