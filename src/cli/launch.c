/* SPDX-License-Identifier: Apache-2.0
 *
 * launch: see launch.h. Enters: nothing but the directories. The daemon gets the write end of a pipe as descriptor
 * 3 and holds it as long as it lives, so that a daemon that ends early is noticed at once; that it is ready is
 * seen by connecting, whenever the runtime directory changes.
 */
#include "cli/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/spawn.h"
#include "base/str.h"

/* Longer than a daemon that is just ending may take: the new one waits for it. */
#define READY_MS 15000
#define LOCK_MS (READY_MS + 5000)
#define CONNECT_MS 5000
#define LOG_TAIL 4096

struct start {
	struct cli *cli;
	int dir;       /* runtime directory; borrowed */
	int notify;    /* inotify on it; owned by launch_locked */
	int alive;     /* read end of the daemon's pipe; owned */
	off_t log_end; /* where this daemon's lines start in the log */
};

static void on_tick(int sig)
{
}

/* A tick every 50 ms interrupts calls that cannot be given a deadline. */
static void ticking(bool on)
{
	struct itimerval t = { 0 };
	struct sigaction sa = { .sa_handler = on ? on_tick : SIG_DFL };

	if (on)
		(void)sigaction(SIGALRM, &sa, NULL);
	if (on)
		t.it_interval.tv_usec = t.it_value.tv_usec = 50000;
	(void)setitimer(ITIMER_REAL, &t, NULL);
	if (!on)
		(void)sigaction(SIGALRM, &sa, NULL);
}

static int try_connect(int dir)
{
	uint64_t end = io_now_ms() + CONNECT_MS;
	int fd;

	ticking(true);
	do
		fd = io_unix_connect(dir, LAUNCH_SOCKET);
	while (fd == -EINTR && io_now_ms() < end);
	ticking(false);
	return fd == -EINTR ? -ETIMEDOUT : fd;
}

static int lock_within(int fd, int timeout_ms)
{
	uint64_t end = io_now_ms() + (uint64_t)timeout_ms;
	int r;

	ticking(true);
	do
		r = flock(fd, LOCK_EX) < 0 ? -errno : 0;
	while (r == -EINTR && io_now_ms() < end);
	ticking(false);
	return r == -EINTR ? -ETIMEDOUT : r;
}

/* Root with somebody else's XDG directories would leave files there that their owner cannot use. */
static int check_owner(struct cli *c, const char *dir)
{
	struct stat st;

	if (stat(dir, &st) < 0)
		return err_errno(&c->err, errno, "cannot use %s", dir);
	if (st.st_uid != geteuid())
		return err_set(&c->err, ERR_DENIED, EPERM,
			       "%s belongs to another user (uid %u): unset XDG_RUNTIME_DIR and XDG_STATE_HOME, or run as "
			       "that user",
			       dir, st.st_uid);
	return 0;
}

static int open_log(struct start *s)
{
	struct cli *c = s->cli;
	auto_free char *path = str_new("%s/%s", c->dirs.state, LAUNCH_LOG);
	struct stat st;
	int fd, r = env_ensure(c->dirs.state, &c->err);

	if (r == 0)
		r = check_owner(c, c->dirs.state);
	if (r == 0)
		r = check_owner(c, c->dirs.runtime);
	if (r < 0)
		return r;
	if (!path)
		return err_set(&c->err, ERR_INTERNAL, ENOMEM, "out of memory");
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(&c->err, errno, "cannot write to %s", path);
	s->log_end = fstat(fd, &st) == 0 ? st.st_size : 0;
	return fd;
}

static int spawn_daemon(struct start *s)
{
	struct cli *c = s->cli;
	auto_free char *program = env_program("sandboxd");
	auto_fd int log = -1, keep = -1;
	const char *argv[] = { "sandboxd", NULL };
	int p[2], r;

	if (!program)
		return err_set(&c->err, ERR_INTERNAL, ENOENT, "cannot tell where sbx is installed: is /proc mounted?");
	log = open_log(s);
	if (log < 0)
		return log;
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_errno(&c->err, errno, "cannot make a pipe");
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
			NULL, NULL, &c->err);
	return r < 0 ? r : 0;
}

/* The last line that this daemon wrote to its log; "" where it said nothing. */
static void last_words(const struct start *s, char *dst, size_t size)
{
	auto_free char *path = str_new("%s/%s", s->cli->dirs.state, LAUNCH_LOG);
	auto_fd int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	char tail[LOG_TAIL + 1];
	off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END), from = s->log_end;
	ssize_t n;
	char *line;

	dst[0] = 0;
	if (end <= from)
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
	if (strstr(line, " sandboxd "))
		line = strstr(line, " sandboxd ") + strlen(" sandboxd ");
	str_escape(dst, size, line, strlen(line));
}

static int failed(const struct start *s, const char *what)
{
	struct cli *c = s->cli;
	char words[320];

	last_words(s, words, sizeof(words));
	cli_hint(c, "tail %.400s/%s", c->dirs.state, LAUNCH_LOG);
	return err_set(&c->err, ERR_UNAVAILABLE, ECONNREFUSED, "sandboxd %s%s%s", what, words[0] ? ": " : "", words);
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
	uint64_t end = io_now_ms() + READY_MS;
	int wait = READY_MS;

	for (;;) {
		struct pollfd p[2] = { { .fd = s->notify, .events = POLLIN }, { .fd = s->alive, .events = POLLIN } };
		int fd = try_connect(s->dir);
		uint64_t now = io_now_ms();

		if (fd >= 0)
			return fd;
		if (now >= end)
			return failed(s, "did not get ready within 15 seconds");
		if (wait > (int)(end - now))
			wait = (int)(end - now);
		if (poll(p, 2, wait) < 0 && errno != EINTR)
			return err_errno(&s->cli->err, errno, "cannot wait for sandboxd");
		if (p[1].revents) {
			fd = try_connect(s->dir);
			return fd >= 0 ? fd : failed(s, "did not start");
		}
		/* Between bind and listen the socket is there and refuses: look again soon. */
		wait = p[0].revents || wait == 5 ? 5 : READY_MS;
		drain(s->notify);
	}
}

static int start_locked(struct start *s)
{
	int r;

	s->notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (s->notify < 0 || inotify_add_watch(s->notify, s->cli->dirs.runtime, IN_CREATE | IN_MOVED_TO | IN_ATTRIB) < 0)
		return err_errno(&s->cli->err, errno, "cannot watch %s", s->cli->dirs.runtime);
	r = spawn_daemon(s);
	if (r < 0)
		return r;
	cli_debug(s->cli, "started sandboxd");
	return await_ready(s);
}

static int start_daemon(struct cli *c, int dir, bool *ret_started)
{
	auto_fd int lock = openat(dir, "sandboxd.start.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct start s = { .cli = c, .dir = dir, .notify = -1, .alive = -1 };
	int fd, r;

	if (lock < 0)
		return err_errno(&c->err, errno, "cannot open %s/sandboxd.start.lock", c->dirs.runtime);
	r = lock_within(lock, LOCK_MS);
	if (r < 0)
		return err_errno(&c->err, -r, "cannot lock %s/sandboxd.start.lock", c->dirs.runtime);
	fd = try_connect(dir);
	if (fd >= 0)
		return fd;
	fd = start_locked(&s);
	own_close_p(&s.notify);
	own_close_p(&s.alive);
	if (fd >= 0 && ret_started)
		*ret_started = true;
	return fd;
}

int launch_connect(struct cli *c, bool start, bool *ret_started)
{
	auto_fd int dir = -1;
	int fd, r = start ? env_ensure(c->dirs.runtime, &c->err) : 0;

	if (r < 0)
		return r;
	dir = open(c->dirs.runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = dir < 0 ? -errno : try_connect(dir);
	if (fd >= 0)
		return fd;
	if (fd != -ENOENT && fd != -ECONNREFUSED)
		return err_errno(&c->err, -fd, "cannot connect to %s/%s", c->dirs.runtime, LAUNCH_SOCKET);
	if (start)
		return start_daemon(c, dir, ret_started);
	cli_hint(c, "sbx daemon start");
	return err_set(&c->err, ERR_UNAVAILABLE, ECONNREFUSED, "sandboxd is not running");
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
