/* SPDX-License-Identifier: Apache-2.0
 *
 * daemon: see daemon.h. Order of the start: directories, lock, registry, leftovers of a crash, supervisors found
 * again, and last the API's socket: whoever can connect finds everything in place.
 */
#include "daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "daemon/build.h"
#include "daemon/forget.h"
#include "daemon/layer.h"
#include "daemon/rules.h"
#include "daemon/sandbox.h"
#include "daemon/server.h"
#include "daemon/spare.h"

#define LOCK_WAIT_MS 20000
#define LOCK_TICK_US 50000
#define ADOPT_MS 2000
#define SHUTDOWN_MS 10000

static struct daemon the_daemon;

/* --- start --- */

static int open_runtime(struct daemon *d, struct err *err)
{
	auto_free char *vm = str_new("%s/vm", d->dirs.runtime);
	int r = env_ensure(d->dirs.runtime, err);

	if (r == 0)
		r = vm ? env_ensure(vm, err) : err_errno(err, ENOMEM, "the runtime directory");
	if (r < 0)
		return r;
	d->runtime_fd = open(d->dirs.runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d->vm_fd = open(vm, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->runtime_fd < 0 || d->vm_fd < 0)
		return err_errno(err, errno, "cannot open %.300s", vm);
	return 0;
}

/* Whether the daemon that holds the lock serves. */
static bool other_serves(const struct daemon *d)
{
	auto_fd int fd = io_unix_connect(d->runtime_fd, "sandboxd.sock");

	return fd >= 0;
}

static void on_tick(int signum)
{
}

/* Interrupts calls that cannot be given a deadline. */
static void ticking(bool on)
{
	struct sigaction sa = { .sa_handler = on ? on_tick : SIG_IGN };
	struct itimerval t = { 0 };

	if (on)
		t.it_interval.tv_usec = t.it_value.tv_usec = LOCK_TICK_US;
	(void)sigaction(SIGALRM, &sa, NULL);
	(void)setitimer(ITIMER_REAL, &t, NULL);
}

/* 1: another daemon runs; 0: the lock is ours; -errno. */
static int wait_lock(struct daemon *d)
{
	uint64_t end = io_now_ms() + LOCK_WAIT_MS;

	while (flock(d->lock_fd, LOCK_EX) < 0) {
		if (errno != EINTR)
			return -errno;
		if (other_serves(d))
			return 1;
		if (io_now_ms() >= end)
			return -ETIMEDOUT;
	}
	d->locked = true;
	return 0;
}

/* 1: another daemon runs. One that is about to end is waited for, so that an end and a start do not cross; one that
 * is about to be ready, too, so that whoever started us can connect. */
static int take_lock(struct daemon *d, struct err *err)
{
	int r;

	d->lock_fd = openat(d->runtime_fd, "sandboxd.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (d->lock_fd < 0)
		return err_errno(err, errno, "cannot open %.300s/sandboxd.lock", d->dirs.runtime);
	ticking(true);
	r = wait_lock(d);
	ticking(false);
	if (r == -ETIMEDOUT)
		return err_set(err, ERR_TIMEOUT, ETIMEDOUT,
			       "another sandboxd holds %.300s/sandboxd.lock and does not answer: end it",
			       d->dirs.runtime);
	return r < 0 ? err_errno(err, -r, "cannot lock %.300s/sandboxd.lock", d->dirs.runtime) : r;
}

static int write_pid(struct daemon *d, struct err *err)
{
	char text[32];
	int r;

	(void)str_format(text, sizeof(text), "%d\n", (int)getpid());
	r = io_write_file_atomic(d->runtime_fd, "sandboxd.pid", text, strlen(text), 0600);
	return r < 0 ? err_errno(err, -r, "cannot write %.300s/sandboxd.pid", d->dirs.runtime) : 0;
}

static int load_row(void *user, struct store_row *row, struct err *err)
{
	return sandbox_new(user, row) ? 0 : err_errno(err, ENOMEM, "the registry");
}

static bool has_record(void *user, const char *id)
{
	return sandbox_find(user, id, NULL) != NULL;
}

/* Directories, the lock, the registry and what it knows; 1: another daemon runs. */
static int prepare(struct daemon *d, struct err *err)
{
	auto_free char *db = NULL;
	int r = env_dirs(&d->dirs, err);

	if (r == 0)
		r = env_ensure(d->dirs.state, err);
	if (r == 0)
		r = open_runtime(d, err);
	if (r == 0)
		r = take_lock(d, err);
	if (r == 0)
		r = write_pid(d, err);
	if (r == 0)
		r = disk_open(&d->disks, d->dirs.state, err);
	if (r != 0)
		return r;
	db = str_new("%s/sbx.db", d->dirs.state);
	r = db ? store_open(db, &d->store, err) : err_errno(err, ENOMEM, "the registry");
	if (r == 0)
		r = store_each(d->store, load_row, d, err);
	if (r == 0)
		r = rules_open(d, err);
	if (r == 0)
		disk_sweep(&d->disks, has_record, d);
	return r;
}

/* Sockets of supervisors whose record is gone. */
static void sweep_sockets(struct daemon *d)
{
	auto_dir DIR *dir = NULL;
	struct dirent *e;
	int fd = openat(d->vm_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir && fd >= 0)
		(void)close(fd);
	while (dir && (e = readdir(dir))) {
		char id[STORE_ID_SIZE];

		if (strlen(e->d_name) != STORE_ID_SIZE - 1 + 5 || !str_ends(e->d_name, ".sock"))
			continue;
		(void)str_format(id, sizeof(id), "%.36s", e->d_name);
		if (!has_record(d, id))
			(void)unlinkat(d->vm_fd, e->d_name, 0);
	}
}

static bool somebody_silent(const struct daemon *d)
{
	for (const struct sandbox *s = d->sandboxes; s; s = s->next)
		if (s->silent)
			return true;
	return false;
}

static void on_nothing(uv_timer_t *t)
{
}

/* Finds the supervisors again, all at once, and gives them a moment to say how they are. */
static void adopt(struct daemon *d)
{
	for (struct sandbox *s = d->sandboxes; s; s = s->next)
		sandbox_adopt(s);
	(void)uv_timer_start(&d->deadline, on_nothing, ADOPT_MS, 0);
	while (somebody_silent(d) && uv_is_active((uv_handle_t *)&d->deadline))
		(void)uv_run(&d->loop, UV_RUN_ONCE);
	(void)uv_timer_stop(&d->deadline);
}

/* --- end --- */

static void on_deadline(uv_timer_t *t)
{
	struct daemon *d = t->data;

	log_warn("event=shutdown_forced");
	server_stop(d);
	daemon_idle(d);
}

void daemon_shutdown(struct daemon *d)
{
	if (d->stopping)
		return;
	d->stopping = true;
	(void)uv_timer_start(&d->deadline, on_deadline, SHUTDOWN_MS, 0);
	build_cancel(d);
	layer_cancel(d);
	spare_cancel(d);
	server_drain(d);
}

void daemon_idle(struct daemon *d)
{
	uv_stop(&d->loop);
}

static void on_signal(uv_signal_t *h, int signum)
{
	log_info("event=shutdown by=signal number=%d", signum);
	daemon_shutdown(h->data);
}

static void close_handle(uv_handle_t *h, void *user)
{
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

static void done(struct daemon *d)
{
	server_stop(d);
	while (d->sandboxes)
		sandbox_free(d->sandboxes);
	if (d->locked)
		(void)unlinkat(d->runtime_fd, "sandboxd.pid", 0);
	if (d->started_at[0]) {
		/* Questions to supervisors that are still open end with the process. */
		(void)uv_run(&d->loop, UV_RUN_NOWAIT);
		uv_walk(&d->loop, close_handle, NULL);
		(void)uv_run(&d->loop, UV_RUN_NOWAIT);
		(void)uv_loop_close(&d->loop);
	}
	server_free(d);
	rules_free(d->rules);
	store_free(d->store);
	disk_close(&d->disks);
	own_close_p(&d->vm_fd);
	own_close_p(&d->runtime_fd);
	own_close_p(&d->lock_fd); /* last: whoever takes it finds everything let go */
}

/* --- main --- */

static int start_loop(struct daemon *d, struct err *err)
{
	int r = uv_loop_init(&d->loop);

	if (r == 0)
		r = uv_timer_init(&d->loop, &d->deadline);
	if (r == 0)
		r = uv_signal_init(&d->loop, &d->term);
	if (r == 0)
		r = uv_signal_init(&d->loop, &d->interrupt);
	if (r < 0)
		return err_errno(err, -r, "cannot start the event loop");
	store_now(d->started_at);
	d->deadline.data = d->term.data = d->interrupt.data = d;
	return 0;
}

static int serve(struct daemon *d, struct err *err)
{
	int r;

	sweep_sockets(d);
	forget_sweep(d, has_record, d);
	adopt(d);
	layer_sweep(d);
	r = server_start(d, err);
	if (r == 0)
		r = uv_signal_start(&d->term, on_signal, SIGTERM);
	if (r == 0)
		r = uv_signal_start(&d->interrupt, on_signal, SIGINT);
	if (r < 0)
		return r;
	spare_wanted(d);
	log_info("event=ready pid=%d version=%s socket=%s/sandboxd.sock", (int)getpid(), SBX_VERSION, d->dirs.runtime);
	(void)uv_run(&d->loop, UV_RUN_DEFAULT);
	log_info("event=ended");
	return 0;
}

int daemon_main(int argc, char **argv)
{
	struct daemon *d = &the_daemon;
	struct err err;
	int r;

	log_setup("sandboxd", NULL, env_get("SBX_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	if (argc != 1) {
		(void)fprintf(stderr, "usage: sandboxd\n");
		return 2;
	}
	(void)umask(0077);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	d->runtime_fd = d->vm_fd = d->lock_fd = d->disks.fd = d->disks.spare = -1;
	r = start_loop(d, &err);
	if (r == 0)
		r = prepare(d, &err);
	if (r == 1)
		(void)fprintf(stderr, "sandboxd is already running (%s/sandboxd.sock)\n", d->dirs.runtime);
	if (r == 0)
		r = serve(d, &err);
	if (r < 0)
		log_error("%s", err.msg);
	done(d);
	return r < 0 ? 1 : 0;
}
