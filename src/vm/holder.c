/* SPDX-License-Identifier: Apache-2.0
 *
 * holder: see holder.h. Owns the connections, the frozen machines, and a maker for each that is under way. Bounds: 64
 * connections, four machines, of which the one unused for longest gives way. A machine that could not be frozen is not
 * tried again for a while, so that not every start pays for it.
 */
#include "vm/holder.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "base/env.h"
#include "base/io.h"
#include "base/log.h"
#include "base/ondemand.h"
#include "base/own.h"
#include "base/str.h"
#include "vm/fdpass.h"
#include "vm/frozenkey.h"
#include "vm/frozenview.h"
#include "vm/maker.h"
#include "vm/saver.h"

#define BACKLOG 64
#define CLIENTS_MAX 64
#define HELD_MAX 4
#define LOCK_WAIT_MS 5000
#define FAILED_MS 60000
#define IDLE_EXIT_S 1800
#define LOOK_MS 10000 /* whether it is time to end */
#define IDLE_EXIT_MAX_S 86400

enum held_state { FREE, MAKING, READY, FAILED };

struct held {
	enum held_state state;
	char key[FROZEN_KEY];
	struct frozen frozen; /* owned; READY */
	struct frozenview view;
	uv_poll_t *answer;    /* owned; MAKING: on answer_fd */
	int answer_fd;        /* owned */
	struct err err;       /* FAILED */
	uint64_t used_ms;     /* FAILED: since when */
};

struct client {
	uv_poll_t poll;
	struct holder *holder;
	int fd;             /* owned */
	struct held *waits; /* for it; NULL: has not asked yet */
	struct client *next;
};

struct holder {
	uv_loop_t loop;
	uv_poll_t listener;
	int listen_fd;
	uv_timer_t idle;
	uint64_t idle_ms, asked_ms;
	int runtime; /* owned: the directory of the socket */
	struct held held[HELD_MAX];
	struct client *clients;
	size_t nclients;
};

static void freed(uv_handle_t *h)
{
	free(h);
}

static void client_closed(uv_handle_t *h)
{
	free(h->data);
}

static void drop(struct client *c)
{
	for (struct client **at = &c->holder->clients; *at; at = &(*at)->next)
		if (*at == c) {
			*at = c->next;
			break;
		}
	c->holder->nclients--;
	own_close_p(&c->fd);
	uv_close((uv_handle_t *)&c->poll, client_closed);
}

/* The one answer that a connection gets; then it is over. */
static void answer(struct client *c, const struct held *h, const struct err *err)
{
	json_t *o = h ? json_pack("{s:s}", "key", h->key) :
			json_pack("{s:{s:s, s:s}}", "error", "kind", err_kind_name(err->kind), "message", err->msg);
	auto_free char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	const int fds[] = { h ? h->frozen.memory : -1, h ? h->frozen.state : -1 };

	json_decref(o);
	(void)uv_poll_stop(&c->poll);
	/* A seal does not keep who has a descriptor from changing the mode, and QEMU opens the memory anew. */
	if (h)
		(void)fchmod(h->frozen.memory, 0600);
	if (text)
		(void)fdpass_send(c->fd, text, strlen(text), fds, h ? 2 : 0);
	drop(c);
}

static void answer_all(struct holder *h, const struct held *of)
{
	for (struct client *c = h->clients, *next; c; c = next) {
		next = c->next;
		if (c->waits == of)
			answer(c, of->state == READY ? of : NULL, &of->err);
	}
}

/* --- machines --- */

static void let_go(struct held *h)
{
	frozenview_close(&h->view);
	frozen_done(&h->frozen);
	*h = (struct held){ .frozen = { -1, -1 }, .answer_fd = -1 };
}

static void on_made(uv_poll_t *p, int status, int events)
{
	struct held *h = p->data;
	struct holder *holder = p->loop->data;

	(void)uv_poll_stop(p);
	uv_close((uv_handle_t *)TAKE_PTR(h->answer), freed);
	h->used_ms = io_now_ms();
	if (maker_read(h->answer_fd, &h->frozen, &h->err) < 0) {
		log_warn("event=failed key=%.12s why=\"%s\"", h->key, h->err.msg);
		h->state = FAILED;
	} else {
		log_info("event=held key=%.12s", h->key);
		h->state = READY;
	}
	own_close_p(&h->answer_fd);
	answer_all(holder, h);
	if (h->state == READY)
		frozenview_open(&h->view, h->frozen.memory);
}

static struct held *find(struct holder *h, const char *key)
{
	for (size_t i = 0; i < HELD_MAX; i++)
		if (h->held[i].state != FREE && str_eq(h->held[i].key, key))
			return &h->held[i];
	return NULL;
}

/* A free place, or that of the machine which was not used for longest; NULL: all are being made. */
static struct held *place(struct holder *h)
{
	struct held *best = NULL;

	for (size_t i = 0; i < HELD_MAX; i++) {
		struct held *at = &h->held[i];

		if (at->state == FREE)
			return at;
		if (at->state != MAKING && (!best || at->used_ms < best->used_ms))
			best = at;
	}
	if (best) {
		log_info("event=dropped key=%.12s", best->key);
		let_go(best);
	}
	return best;
}

static struct held *make(struct holder *h, const struct shape *s, const char *key, struct err *err)
{
	struct held *at = place(h);
	uv_poll_t *p;
	int r;

	if (!at) {
		(void)err_set(err, ERR_UNAVAILABLE, EAGAIN, "too many machines are being frozen at the same time");
		return NULL;
	}
	p = calloc(1, sizeof(*p));
	r = p ? maker_start(s, key, &at->answer_fd, err) : err_errno(err, ENOMEM, "the frozen machine");
	if (r < 0 || uv_poll_init(&h->loop, p, at->answer_fd) < 0) {
		if (r == 0)
			(void)err_errno(err, ENOMEM, "the frozen machine");
		own_close_p(&at->answer_fd);
		let_go(at);
		free(p);
		return NULL;
	}
	p->data = at;
	at->answer = p;
	at->state = MAKING;
	(void)str_format(at->key, sizeof(at->key), "%s", key);
	(void)uv_poll_start(p, UV_READABLE | UV_DISCONNECT, on_made);
	return at;
}

/* --- connections --- */

static int wanted(struct client *c, char *text, struct shape *s, json_t **ret_o, char key[FROZEN_KEY], struct err *err)
{
	ssize_t n = recv(c->fd, text, SHAPE_MAX_BYTES, MSG_DONTWAIT | MSG_TRUNC);
	int r;

	if (n <= 0 || n > SHAPE_MAX_BYTES)
		return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -EPIPE;
	*ret_o = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_true(json_object_get(*ret_o, "end"))) {
		log_info("event=ended reason=asked");
		uv_stop(&c->holder->loop);
		return -EPIPE;
	}
	r = shape_read(*ret_o, s, err);
	if (r == 0)
		r = frozenkey(s, key, err);
	return r < 0 ? r : 1;
}

static void serve(struct client *c, const struct shape *s, const char *key)
{
	struct held *h = find(c->holder, key);
	struct err err = { 0 };

	if (h && h->state == FAILED && io_now_ms() - h->used_ms > FAILED_MS) {
		let_go(h);
		h = NULL;
	}
	if (!h)
		h = make(c->holder, s, key, &err);
	if (!h) {
		answer(c, NULL, &err);
		return;
	}
	if (h->state == MAKING) {
		c->waits = h;
		return;
	}
	if (h->state == READY)
		h->used_ms = io_now_ms();
	answer(c, h->state == READY ? h : NULL, &h->err);
}

static void on_client(uv_poll_t *p, int status, int events)
{
	struct client *c = p->data;
	auto_free char *text = malloc(SHAPE_MAX_BYTES);
	char key[FROZEN_KEY];
	struct err err = { 0 };
	json_t *o = NULL;
	struct shape s;
	int r = text && !c->waits ? wanted(c, text, &s, &o, key, &err) : -EPIPE;

	if (r == -EPIPE && err.kind == ERR_NONE)
		drop(c); /* gone, or it says more than it may */
	else if (r < 0)
		answer(c, NULL, &err);
	else if (r > 0)
		serve(c, &s, key);
	json_decref(o);
}

static void on_listener(uv_poll_t *p, int status, int events)
{
	struct holder *h = p->data;
	auto_fd int fd = accept4(h->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *c;
	uid_t uid;

	if (fd < 0)
		return;
	if (io_peer_uid(fd, &uid) < 0 || uid != geteuid() || h->nclients == CLIENTS_MAX) {
		log_warn("event=refused");
		return;
	}
	h->asked_ms = io_now_ms();
	c = calloc(1, sizeof(*c));
	if (!c || uv_poll_init(&h->loop, &c->poll, fd) < 0) {
		free(c);
		return;
	}
	c->poll.data = c;
	c->holder = h;
	c->fd = TAKE_FD(fd);
	c->next = h->clients;
	h->clients = c;
	h->nclients++;
	(void)uv_poll_start(&c->poll, UV_READABLE | UV_DISCONNECT, on_client);
}

/* Nobody has asked for long, or nobody can ask any more: the directory was removed. */
static void on_idle(uv_timer_t *t)
{
	struct holder *h = t->data;
	bool gone = faccessat(h->runtime, HOLDER_SOCKET, F_OK, AT_SYMLINK_NOFOLLOW) < 0;

	if (!gone && (h->nclients > 0 || io_now_ms() - h->asked_ms < h->idle_ms))
		return;
	log_info("event=ended reason=%s", gone ? "unreachable" : "idle");
	uv_stop(&h->loop);
}

/* --- its life --- */

static int listen_at(const char *runtime, int *ret_dir, int *ret_lock, struct err *err)
{
	auto_fd int dir = open(runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC), lock = -1;
	int r, fd;

	if (dir < 0)
		return err_errno(err, errno, "cannot open %.300s", runtime);
	lock = openat(dir, "frozen.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (lock < 0)
		return err_errno(err, errno, "cannot open %.300s/frozen.lock", runtime);
	r = ondemand_lock(lock, LOCK_WAIT_MS);
	if (r < 0)
		return err_errno(err, -r, "another sbx-frozen runs (%.300s/frozen.lock)", runtime);
	fd = io_packet_listen(dir, HOLDER_SOCKET, BACKLOG);
	if (fd < 0)
		return err_errno(err, -fd, "cannot listen on %.300s/%s", runtime, HOLDER_SOCKET);
	*ret_lock = TAKE_FD(lock);
	*ret_dir = TAKE_FD(dir);
	return fd;
}

static int serve_all(uint64_t idle_s, struct err *err)
{
	static struct holder h;
	static struct env_dirs dirs;
	auto_fd int lock = -1;
	int r = env_dirs(&dirs, err);

	if (r == 0)
		r = env_ensure(dirs.runtime, err);
	if (r < 0)
		return r;
	h.listen_fd = listen_at(dirs.runtime, &h.runtime, &lock, err);
	if (h.listen_fd < 0)
		return h.listen_fd;
	for (size_t i = 0; i < HELD_MAX; i++)
		h.held[i] = (struct held){ .frozen = { -1, -1 }, .answer_fd = -1 };
	if (io_set_nonblock(h.listen_fd, true) < 0 || uv_loop_init(&h.loop) < 0 ||
	    uv_poll_init(&h.loop, &h.listener, h.listen_fd) < 0)
		return err_errno(err, ENOMEM, "cannot make an event loop");
	h.loop.data = h.listener.data = h.idle.data = &h;
	(void)uv_timer_init(&h.loop, &h.idle);
	h.idle_ms = idle_s * 1000;
	h.asked_ms = io_now_ms();
	(void)uv_timer_start(&h.idle, on_idle, LOOK_MS, LOOK_MS);
	(void)uv_poll_start(&h.listener, UV_READABLE, on_listener);
	log_info("event=ready pid=%d version=%s", (int)getpid(), SBX_VERSION);
	(void)uv_run(&h.loop, UV_RUN_DEFAULT);
	return 0;
}

int holder_main(int argc, char **argv)
{
	uint64_t idle_s = IDLE_EXIT_S;
	struct err err = { 0 };
	bool make_one = argc == 2 && str_eq(argv[1], "--make");

	log_setup("sbx-frozen", NULL, env_get("SBX_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	(void)umask(0077);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	if (make_one)
		return maker_main();
	if (argc == 2 && (str_eq(argv[1], "--save") || str_eq(argv[1], "--load")))
		return saver_main();
	(void)signal(SIGCHLD, SIG_IGN); /* a maker says what there is to say before it ends */
	if (argc != 1 && !(argc == 3 && str_eq(argv[1], "--idle-exit") && str_u64(argv[2], IDLE_EXIT_MAX_S, &idle_s) == 0 &&
			   idle_s > 0)) {
		(void)fprintf(stderr, "usage: sbx-frozen [--idle-exit SECONDS]\n");
		return 2;
	}
	if (serve_all(idle_s, &err) < 0) {
		log_error("%s", err.msg);
		return 1;
	}
	return 0;
}
