/* SPDX-License-Identifier: Apache-2.0
 *
 * server: see server.h. Owns the connections, and a peer for each.
 */
#include "keeper/server.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/str.h"

struct connection {
	int fd; /* owned; -1: free */
	struct peer peer;
	uint64_t heard_ms; /* when it was accepted or last said something */
};

struct server {
	const struct keeper *keeper; /* borrowed */
	int listener;                /* borrowed */
	int idle_ms;
	uint64_t empty_since_ms; /* valid while there is no connection */
	int store_ms;            /* until the store locks itself; -1: it does not */
	size_t n;                /* used ones are first */
	struct connection connections[SERVER_CONNECTIONS_MAX];
	struct buf in, out;
};

/* The last one takes its place. */
static void drop(struct server *s, size_t i)
{
	struct connection *c = &s->connections[i];

	own_close_p(&c->fd);
	peer_done(s->keeper, &c->peer);
	*c = s->connections[--s->n];
	s->connections[s->n] = (struct connection){ .fd = -1 };
	if (s->n == 0)
		s->empty_since_ms = io_now_ms();
}

static void accept_one(struct server *s)
{
	auto_fd int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	uid_t uid;

	if (fd < 0)
		return;
	if (io_peer_uid(fd, &uid) < 0 || uid != geteuid()) {
		log_warn("event=refused reason=uid");
		return;
	}
	if (s->n == SERVER_CONNECTIONS_MAX) {
		log_warn("event=refused reason=connections");
		return;
	}
	s->connections[s->n++] = (struct connection){ .fd = TAKE_FD(fd), .heard_ms = io_now_ms() };
}

/* Its key is gone: whoever has it attached in memory does so no longer. */
static void drop_attached(struct server *s, const char *sandbox)
{
	for (size_t i = s->n; i-- > 0;)
		if (s->connections[i].peer.ca && str_eq(s->connections[i].peer.sandbox, sandbox))
			drop(s, i);
}

/* The secrets have changed. One that does not take the news is let go of: it would go by what is not true any more. */
static void tell_attached(struct server *s)
{
	struct buf out;

	buf_init(&out, KEEPERMSG_MAX_BYTES);
	(void)secretmsg_encode_changed(&out);
	for (size_t i = s->n; i-- > 0;)
		if (s->connections[i].peer.ca &&
		    send(s->connections[i].fd, buf_bytes(&out), buf_len(&out), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			drop(s, i);
	buf_done(&out);
}

/* One message in, one out. Negative: the connection is to end. */
static int turn(struct server *s, struct connection *c, struct answer_news *ret)
{
	uint8_t *at = buf_reserve(&s->in, KEEPERMSG_MAX_BYTES);
	ssize_t n = at ? recv(c->fd, at, KEEPERMSG_MAX_BYTES, MSG_DONTWAIT | MSG_TRUNC) : -1;
	int r;

	*ret = (struct answer_news){ 0 };
	if (!at || (n < 0 && errno != EAGAIN && errno != EINTR) || n == 0 || n > KEEPERMSG_MAX_BYTES)
		return -EPROTO;
	if (n < 0)
		return 0;
	c->heard_ms = io_now_ms();
	buf_commit(&s->in, (size_t)n);
	r = answer(s->keeper, &c->peer, &s->in, &s->out, ret);
	explicit_bzero((void *)(uintptr_t)buf_bytes(&s->in), buf_len(&s->in));
	buf_consume(&s->in, buf_len(&s->in));
	if (r == 0 && send(c->fd, buf_bytes(&s->out), buf_len(&s->out), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		r = -errno;
	/* Either may have held a secret. */
	explicit_bzero((void *)(uintptr_t)buf_bytes(&s->out), buf_len(&s->out));
	buf_consume(&s->out, buf_len(&s->out));
	return r;
}

/* Connection i said something, or ended. */
static void serve(struct server *s, size_t i)
{
	struct connection *c = &s->connections[i];
	char sandbox[KEEPERMSG_ID];
	struct answer_news news;
	int r = turn(s, c, &news);

	memcpy(sandbox, c->peer.sandbox, sizeof(sandbox));
	if (r < 0)
		drop(s, i);
	if (news.forgot)
		drop_attached(s, sandbox);
	if (news.secrets)
		tell_attached(s);
}

static uint64_t silent_ms(const struct connection *c)
{
	return c->peer.login ? SERVER_LOGIN_MS : SERVER_SILENT_MS;
}

static void drop_silent(struct server *s, uint64_t now)
{
	for (size_t i = s->n; i-- > 0;)
		if (!s->connections[i].peer.ca && now - s->connections[i].heard_ms >= silent_ms(&s->connections[i]))
			drop(s, i);
}

/* What was unlocked for a time: whoever is attached learns that it is over. */
static void tick_store(struct server *s)
{
	uint64_t before = store_generation(s->keeper->store);

	s->store_ms = store_tick(s->keeper->store);
	if (store_generation(s->keeper->store) == before)
		return;
	log_info("event=store_locked reason=time");
	(void)vault_sync(s->keeper->vault, NULL);
	(void)grants_sync(s->keeper->grants, NULL);
	tell_attached(s);
}

/* Until the next deadline; -1: there is none. */
static int time_left(const struct server *s, uint64_t now)
{
	uint64_t next = s->n == 0 ? s->empty_since_ms + (uint64_t)s->idle_ms : UINT64_MAX;

	for (size_t i = 0; i < s->n; i++)
		if (!s->connections[i].peer.ca && s->connections[i].heard_ms + silent_ms(&s->connections[i]) < next)
			next = s->connections[i].heard_ms + silent_ms(&s->connections[i]);
	if (s->store_ms >= 0 && now + (uint64_t)s->store_ms < next)
		next = now + (uint64_t)s->store_ms;
	if (next == UINT64_MAX)
		return -1;
	return next <= now ? 0 : (int)(next - now);
}

/* 1: nobody was there for long enough. */
static int once(struct server *s)
{
	struct pollfd p[SERVER_CONNECTIONS_MAX + 1];
	size_t n = s->n;
	uint64_t now = io_now_ms();

	for (size_t i = 0; i < n; i++)
		p[i] = (struct pollfd){ .fd = s->connections[i].fd, .events = POLLIN };
	p[n] = (struct pollfd){ .fd = s->listener, .events = POLLIN };
	if (poll(p, n + 1, time_left(s, now)) < 0)
		return errno == EINTR ? 0 : -errno;
	tick_store(s);
	/* From the end, and by descriptor: serving one may let go of others. */
	for (size_t i = n; i-- > 0;)
		if (p[i].revents && i < s->n && s->connections[i].fd == p[i].fd)
			serve(s, i);
	if (p[n].revents)
		accept_one(s);
	tick_store(s);
	now = io_now_ms();
	drop_silent(s, now);
	return s->n == 0 && now - s->empty_since_ms >= (uint64_t)s->idle_ms ? 1 : 0;
}

int server_run(const struct keeper *k, int listen_fd, int idle_ms, struct err *err)
{
	auto_free struct server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_errno(err, ENOMEM, "the keeper");
	s->keeper = k;
	s->listener = listen_fd;
	s->idle_ms = idle_ms;
	s->empty_since_ms = io_now_ms();
	s->store_ms = store_tick(k->store);
	buf_init(&s->in, KEEPERMSG_MAX_BYTES);
	buf_init(&s->out, KEEPERMSG_MAX_BYTES);
	do
		r = once(s);
	while (r == 0);
	while (s->n > 0)
		drop(s, s->n - 1);
	buf_done(&s->in);
	buf_done(&s->out);
	return r < 0 ? err_errno(err, -r, "cannot wait for connections") : 0;
}
