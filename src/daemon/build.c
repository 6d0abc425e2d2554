/* SPDX-License-Identifier: Apache-2.0
 *
 * build: see build.h. States: running (the pipe is read) -> over (last word said, handles closing) -> freed. The
 * process has ended when its pipe has: it and its children hold the only writing end. Its stderr is the daemon's log.
 */
#include "daemon/build.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/env.h"
#include "base/log.h"
#include "base/own.h"
#include "base/pump.h"
#include "base/spawn.h"
#include "base/str.h"
#include "daemon/host.h"

#define LINE_MAX_BYTES 16384
#define BUILD_MAX_MS (3U * 3600 * 1000)
#define EXIT_MS 5000

struct listener {
	build_line *line;
	void *user;
};

struct build {
	struct daemon *daemon; /* borrowed */
	struct pump pump;
	uv_timer_t timer;
	int pidfd; /* owned */
	struct buf in;
	struct listener listeners[BUILD_LISTENERS_MAX];
	size_t nlisteners;
	json_t *latest;  /* owned: the last line of progress, for late joiners; NULL */
	json_t *result;  /* owned; the last word, said when the process has ended */
	uv_idle_t greet; /* runs while somebody has not seen `latest` */
	size_t greeted;  /* how many of the listeners have */
	unsigned handles;
	bool over;
};

static void let_go(struct build *b)
{
	if (--b->handles > 0)
		return;
	buf_done(&b->in);
	json_decref(b->latest);
	json_decref(b->result);
	own_close_p(&b->pidfd);
	free(b);
}

static void on_handle_closed(uv_handle_t *h)
{
	let_go(h->data);
}

static void on_pump_closed(struct pump *p)
{
	let_go(p->user);
}

/* Reaps it. Its output has ended, so that it is about to; or it is told to. */
static void reap(struct build *b, bool tell)
{
	if (tell)
		(void)syscall(SYS_pidfd_send_signal, b->pidfd, SIGTERM, NULL, 0U);
	if (spawn_wait(b->pidfd, EXIT_MS, NULL) == -ETIMEDOUT) {
		(void)syscall(SYS_pidfd_send_signal, b->pidfd, SIGKILL, NULL, 0U);
		(void)spawn_wait(b->pidfd, EXIT_MS, NULL);
	}
}

/* The last word: everybody is told, and the daemon may start another build. */
static void finish(struct build *b, const json_t *line)
{
	struct listener now[BUILD_LISTENERS_MAX];
	size_t n = b->nlisteners;

	if (b->over)
		return;
	b->over = true;
	memcpy(now, b->listeners, sizeof(now));
	b->nlisteners = 0;
	b->daemon->build = NULL;
	pump_stop(&b->pump);
	uv_close((uv_handle_t *)&b->timer, on_handle_closed);
	uv_close((uv_handle_t *)&b->greet, on_handle_closed);
	for (size_t i = 0; i < n; i++)
		now[i].line(now[i].user, line, true);
}

static void fail(struct build *b, enum err_kind kind, const char *message)
{
	json_t *o = json_pack("{s:{s:s, s:s}}", "error", "kind", err_kind_name(kind), "message", message);

	log_error("event=build_failed error=\"%s\"", message);
	finish(b, o);
	json_decref(o);
}

static void on_line(struct build *b, const char *text, size_t n)
{
	json_t *o = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);

	if (!json_is_object(o)) {
		log_warn("event=build_line_ignored");
	} else if (json_object_get(o, "progress")) {
		json_decref(b->latest);
		b->latest = json_incref(o);
		for (size_t i = 0; i < b->nlisteners && !b->over; i++)
			b->listeners[i].line(b->listeners[i].user, o, false);
		b->greeted = b->nlisteners;
	} else if (json_object_get(o, "manifest") || json_object_get(o, "error")) {
		json_decref(b->result);
		b->result = json_incref(o);
	}
	json_decref(o);
}

static int on_bytes(struct pump *p, const uint8_t *bytes, size_t n)
{
	struct build *b = p->user;

	while (n > 0 && !b->over) {
		const uint8_t *lf = memchr(bytes, '\n', n);
		size_t take = lf ? (size_t)(lf - bytes) : n;

		if (buf_append(&b->in, bytes, take) < 0)
			return -EMSGSIZE;
		if (lf) {
			on_line(b, (const char *)buf_bytes(&b->in), buf_len(&b->in));
			buf_consume(&b->in, buf_len(&b->in));
			take++;
		}
		bytes += take;
		n -= take;
	}
	return 0;
}

static void on_end(struct pump *p, int error)
{
	struct build *b = p->user;

	reap(b, error != 0);
	if (error == 0 && b->result)
		finish(b, b->result);
	else
		fail(b, ERR_INTERNAL,
		     error ? "sbx-image says what cannot be understood: see sandboxd.log"
			   : "sbx-image ended without a result: see sandboxd.log");
}

static const struct pump_ops pump_ops = { .bytes = on_bytes, .end = on_end, .closed = on_pump_closed };

static void on_timeout(uv_timer_t *t)
{
	struct build *b = t->data;

	reap(b, true);
	fail(b, ERR_TIMEOUT, "the base template was not ready within 3 hours: is the package mirror reachable?");
}

static void on_greet(uv_idle_t *h)
{
	struct build *b = h->data;

	(void)uv_idle_stop(h);
	for (; b->latest && b->greeted < b->nlisteners; b->greeted++)
		b->listeners[b->greeted].line(b->listeners[b->greeted].user, b->latest, false);
}

static int spawn_image(int out, int *ret_pidfd, struct err *err)
{
	auto_free char *program = env_program("sbx-image");
	const char *const argv[] = { "sbx-image", "ensure", "base", "--json", NULL };
	struct spawn s = {
		.path = program,
		.argv = argv,
		.stdin_fd = -1,
		.stdout_fd = out,
		.stderr_fd = -1,
		.die_with_parent = true,
		.cwd = "/",
	};

	if (!program)
		return err_set(err, ERR_INTERNAL, ENOENT, "/proc is not mounted");
	if (access(program, X_OK) < 0)
		return err_set(err, ERR_UNAVAILABLE, errno, "%.300s is missing: install sbx again", program);
	return spawn_start(&s, NULL, ret_pidfd, err);
}

static struct build *start(struct daemon *d, struct err *err)
{
	struct build *b = calloc(1, sizeof(*b));
	int p[2], r;

	if (!b || pipe2(p, O_CLOEXEC) < 0) {
		free(b);
		(void)err_errno(err, errno, "cannot start sbx-image");
		return NULL;
	}
	b->pidfd = -1;
	r = spawn_image(p[1], &b->pidfd, err);
	(void)close(p[1]);
	if (r < 0) {
		(void)close(p[0]);
		free(b);
		return NULL;
	}
	b->daemon = d;
	buf_init(&b->in, LINE_MAX_BYTES);
	(void)uv_timer_init(&d->loop, &b->timer);
	(void)uv_idle_init(&d->loop, &b->greet);
	b->timer.data = b->greet.data = b;
	b->handles = 3;
	r = pump_start(&b->pump, &d->loop, p[0], &pump_ops, b);
	if (r < 0) {
		(void)err_errno(err, -r, "cannot listen to sbx-image");
		reap(b, true);
		b->handles = 2;
		uv_close((uv_handle_t *)&b->timer, on_handle_closed);
		uv_close((uv_handle_t *)&b->greet, on_handle_closed);
		return NULL;
	}
	(void)uv_timer_start(&b->timer, on_timeout, BUILD_MAX_MS, 0);
	log_info("event=build_started");
	return b;
}

int build_join(struct daemon *d, build_line *line, void *user, struct err *err)
{
	struct build *b = d->build;

	if (b && b->nlisteners == BUILD_LISTENERS_MAX)
		return err_set(err, ERR_UNAVAILABLE, EAGAIN, "too many callers wait for the base template: try again");
	if (!b && host_ready(&d->disks, err) == 0)
		b = d->build = start(d, err);
	if (!b)
		return err ? err_code(err) : -EIO;
	b->listeners[b->nlisteners++] = (struct listener){ line, user };
	if (b->latest)
		(void)uv_idle_start(&b->greet, on_greet);
	return 0;
}

void build_cancel(struct daemon *d)
{
	struct build *b = d->build;

	if (!b)
		return;
	reap(b, true);
	fail(b, ERR_UNAVAILABLE, "the daemon was stopped while it made the base template: the next call continues");
}
