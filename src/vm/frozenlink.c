/* SPDX-License-Identifier: Apache-2.0
 *
 * frozenlink: see frozenlink.h. Freezing takes as long as a boot, and longer where it is tried twice: who asks says how long
 * it can wait.
 */
#include "vm/frozenlink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/env.h"
#include "base/io.h"
#include "base/ondemand.h"
#include "base/own.h"
#include "base/str.h"
#include "vm/fdpass.h"
#include "vm/holder.h"

#define READY_MS 5000

struct frozenlink {
	uv_poll_t poll;
	uv_timer_t timer;
	unsigned handles; /* not closed yet */
	int fd;           /* owned */
	frozenlink_done done;
	void *user;
	bool freed;
};

static int connect_holder(struct err *err)
{
	auto_free struct env_dirs *dirs = calloc(1, sizeof(*dirs));
	struct ondemand o = {
		.program = "sbx-frozen",
		.name = "frozen",
		.socket = HOLDER_SOCKET,
		.packets = true,
		.log = "frozen.log",
		.ready_ms = READY_MS,
	};
	int r = dirs ? env_dirs(dirs, err) : err_errno(err, ENOMEM, "the frozen machine");

	if (r < 0)
		return r;
	o.runtime_dir = dirs->runtime;
	o.state_dir = dirs->state;
	return ondemand_connect(&o, true, NULL, err);
}

/* Whether the process at the other end is the sbx-frozen that stands beside us: another build's machines have other devices. */
static bool is_ours(int fd)
{
	auto_free char *program = env_program("sbx-frozen");
	struct ucred peer;
	socklen_t n = sizeof(peer);
	struct stat a, b;
	char path[64];

	if (!program || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
		return false;
	(void)str_format(path, sizeof(path), "/proc/%d/exe", (int)peer.pid);
	return stat(program, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Ends it, and waits until it is gone. */
static void send_away(int fd)
{
	static const char end[] = "{\"end\":true}";
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (fdpass_send(fd, end, sizeof(end) - 1, NULL, 0) == 0)
		(void)poll(&p, 1, READY_MS);
}

static int connect_ours(struct err *err)
{
	auto_fd int fd = connect_holder(err);

	if (fd < 0 || is_ours(fd))
		return TAKE_FD(fd);
	send_away(fd);
	own_close_p(&fd);
	fd = connect_holder(err);
	if (fd >= 0 && !is_ours(fd))
		return err_set(err, ERR_CONFLICT, EBUSY, "an sbx-frozen of another installation runs");
	return TAKE_FD(fd);
}

static void on_closed(uv_handle_t *h)
{
	struct frozenlink *l = h->data;

	if (--l->handles == 0)
		free(l);
}

void frozenlink_free(struct frozenlink *l)
{
	if (!l || l->freed)
		return;
	l->freed = true;
	own_close_p(&l->fd);
	uv_close((uv_handle_t *)&l->poll, on_closed);
	uv_close((uv_handle_t *)&l->timer, on_closed);
}

/* Another open file of the same memory, so that reading begins at its start, whoever else reads. */
static int open_anew(int fd)
{
	char path[64];

	(void)str_format(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int read_answer(const char *text, ssize_t n, struct err *err)
{
	json_t *o = n > 0 ? json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, NULL) : NULL;
	const json_t *error = json_object_get(o, "error");
	const char *said = json_string_value(json_object_get(error, "message"));
	int r = 0;

	if (!o)
		r = err_set(err, ERR_UNAVAILABLE, ECONNRESET, "sbx-frozen did not answer");
	else if (error)
		r = err_set(err, ERR_UNAVAILABLE, EIO, "%.400s", said ? said : "no reason was given");
	json_decref(o);
	return r;
}

static void on_answer(uv_poll_t *p, int status, int events)
{
	struct frozenlink *l = p->data;
	char text[HOLDER_ANSWER_MAX];
	struct err err = { 0 };
	int fds[2], state = -1, r;
	ssize_t n = fdpass_recv(l->fd, text, sizeof(text), fds, 2);

	if (n == -EAGAIN)
		return;
	(void)uv_poll_stop(p);
	(void)uv_timer_stop(&l->timer);
	r = read_answer(text, n, &err);
	if (r == 0 && fds[1] >= 0)
		state = open_anew(fds[1]);
	if (r == 0 && state < 0)
		r = err_errno(&err, fds[1] < 0 ? EPROTO : errno, "cannot use what sbx-frozen gave");
	own_close_p(&fds[1]);
	if (r < 0) {
		own_close_p(&fds[0]);
		own_close_p(&state);
	}
	l->done(l->user, fds[0], state, r < 0 ? &err : NULL);
}

static void on_late(uv_timer_t *t)
{
	struct frozenlink *l = t->data;
	struct err err;

	(void)uv_poll_stop(&l->poll);
	(void)err_set(&err, ERR_TIMEOUT, ETIMEDOUT, "sbx-frozen did not answer in time");
	l->done(l->user, -1, -1, &err);
}

struct frozenlink *frozenlink_ask(uv_loop_t *loop, const struct shape *s, uint64_t wait_ms, frozenlink_done done, void *user,
				  struct err *err)
{
	auto_fd int fd = connect_ours(err);
	json_t *o = shape_json(s);
	auto_free char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	struct frozenlink *l = NULL;
	int r = text ? 0 : -ENOMEM;

	json_decref(o);
	if (fd < 0)
		return NULL;
	if (r == 0)
		r = io_set_nonblock(fd, true);
	if (r == 0)
		r = fdpass_send(fd, text, strlen(text), NULL, 0);
	l = r == 0 ? calloc(1, sizeof(*l)) : NULL;
	if (!l || uv_poll_init(loop, &l->poll, fd) < 0) {
		free(l);
		(void)err_errno(err, r < 0 ? -r : ENOMEM, "cannot ask sbx-frozen");
		return NULL;
	}
	(void)uv_timer_init(loop, &l->timer);
	l->poll.data = l->timer.data = l;
	l->handles = 2;
	l->fd = TAKE_FD(fd);
	l->done = done;
	l->user = user;
	(void)uv_poll_start(&l->poll, UV_READABLE | UV_DISCONNECT, on_answer);
	(void)uv_timer_start(&l->timer, on_late, wait_ms, 0);
	return l;
}
