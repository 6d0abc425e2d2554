/* SPDX-License-Identifier: Apache-2.0
 *
 * netport: see netport.h. First it finds who listens (one address after the other), with what the host sends meanwhile kept
 * in `early`, at most a window; then a netjoin relays. It lives until the stream is over and libuv and the join have let
 * go of it.
 */
#include "guest/netport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/own.h"
#include "base/str.h"
#include "guest/netgate.h"
#include "guest/netjoin.h"
#include "wire/dest.h"

#define ATTEMPTS 3 /* 127.0.0.1, ::1, and where there is a network its address */
#define ATTEMPT_MS 3000

struct netport {
	struct ctl_stream cs;
	struct guest *guest;      /* borrowed */
	struct h2_stream *stream; /* NULL once closed */
	struct netjoin *join;     /* NULL until connected; its `over` is its end */
	uint16_t port;
	int attempt; /* the one under way */
	int fd;      /* owned; of it */
	uv_poll_t poll[ATTEMPTS];
	uv_timer_t timer;
	unsigned handles; /* that libuv knows */
	bool eof;
	struct buf early;
};

static void try_next(struct netport *p);

static void maybe_free(struct netport *p)
{
	if (p->stream || p->join || p->handles)
		return;
	p->guest->nports--;
	buf_done(&p->early);
	free(p);
}

static void on_handle_closed(uv_handle_t *h)
{
	struct netport *p = h->data;

	p->handles--;
	maybe_free(p);
}

static void close_timer(struct netport *p)
{
	if (!uv_is_closing((uv_handle_t *)&p->timer))
		uv_close((uv_handle_t *)&p->timer, on_handle_closed);
}

/* Lets go of the descriptor that the attempt under way waits for. */
static int take_fd(struct netport *p)
{
	uv_poll_t *poll = p->fd >= 0 ? &p->poll[p->attempt] : NULL;

	(void)uv_timer_stop(&p->timer);
	if (poll) {
		(void)uv_poll_stop(poll);
		uv_close((uv_handle_t *)poll, on_handle_closed);
	}
	return TAKE_FD(p->fd);
}

static void drop_fd(struct netport *p)
{
	int fd = take_fd(p);

	own_close_p(&fd);
}

/* ---- relaying ---- */

static void on_kick(void *user)
{
	ctl_kick(((struct netport *)user)->guest);
}

static void on_over(void *user)
{
	struct netport *p = user;

	p->join = NULL;
	maybe_free(p);
}

static const struct netjoin_ops join_ops = { .kick = on_kick, .over = on_over };

static void give_up(struct netport *p, uint32_t error)
{
	close_timer(p);
	h2_reset(p->stream, error);
	ctl_kick(p->guest);
}

static void connected(struct netport *p)
{
	int fd = take_fd(p), on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	p->join = netjoin_new(&p->guest->loop, fd, &join_ops, p);
	if (!p->join || h2_respond(p->stream, 200) < 0) {
		if (p->join)
			netjoin_start(p->join, NULL);
		give_up(p, H2_INTERNAL_ERROR);
		return;
	}
	close_timer(p);
	netjoin_start(p->join, p->stream);
	if (buf_len(&p->early) > 0)
		netjoin_data(p->join, buf_bytes(&p->early), buf_len(&p->early));
	buf_done(&p->early);
	if (p->eof && p->stream)
		netjoin_eof(p->join);
	ctl_kick(p->guest);
}

/* ---- connecting ---- */

static int dial(int attempt, uint16_t port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	bool six = attempt == 1;
	auto_fd int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return -errno;
	v4.sin_addr.s_addr = htonl(attempt == 0 ? INADDR_LOOPBACK : NETGATE_ADDRESS);
	r = six ? connect(fd, (struct sockaddr *)&v6, sizeof(v6)) : connect(fd, (struct sockaddr *)&v4, sizeof(v4));
	return r < 0 && errno != EINPROGRESS ? -errno : TAKE_FD(fd);
}

static void failed(struct netport *p)
{
	drop_fd(p);
	p->attempt++;
	try_next(p);
}

static void on_timeout(uv_timer_t *t)
{
	failed(t->data);
}

static void on_connect(uv_poll_t *h, int status, int events)
{
	struct netport *p = h->data;
	socklen_t len = sizeof(int);
	int error = 0;

	if (uv_is_closing((uv_handle_t *)h))
		return;
	if (status < 0 || getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error)
		failed(p);
	else
		connected(p);
}

static void try_next(struct netport *p)
{
	int attempts = p->guest->net ? ATTEMPTS : ATTEMPTS - 1;

	for (; p->attempt < attempts; p->attempt++) {
		uv_poll_t *poll = &p->poll[p->attempt];

		p->fd = dial(p->attempt, p->port);
		if (p->fd < 0)
			continue;
		if (uv_poll_init(&p->guest->loop, poll, p->fd) < 0) {
			own_close_p(&p->fd);
			continue;
		}
		poll->data = p;
		p->handles++;
		(void)uv_poll_start(poll, UV_WRITABLE, on_connect);
		(void)uv_timer_start(&p->timer, on_timeout, ATTEMPT_MS, 0);
		return;
	}
	give_up(p, H2_CONNECT_ERROR);
}

/* ---- the stream ---- */

static struct netport *of(struct ctl_stream *cs)
{
	return container_of(cs, struct netport, cs);
}

static void on_data(struct ctl_stream *cs, const uint8_t *bytes, size_t n)
{
	struct netport *p = of(cs);

	if (p->join)
		netjoin_data(p->join, bytes, n);
	else if (buf_append(&p->early, bytes, n) < 0)
		h2_reset(p->stream, H2_INTERNAL_ERROR);
}

static void on_eof(struct ctl_stream *cs)
{
	struct netport *p = of(cs);

	p->eof = true;
	if (p->join)
		netjoin_eof(p->join);
}

static void on_writable(struct ctl_stream *cs)
{
	struct netport *p = of(cs);

	if (p->join)
		netjoin_writable(p->join);
}

static void on_closed(struct ctl_stream *cs, uint32_t error)
{
	struct netport *p = of(cs);

	p->stream = NULL;
	if (p->join) {
		netjoin_closed(p->join, error);
		return;
	}
	drop_fd(p);
	close_timer(p);
}

static const struct ctl_stream_ops ops = {
	.data = on_data, .eof = on_eof, .writable = on_writable, .closed = on_closed,
};

static void on_first_turn(uv_timer_t *t)
{
	try_next(t->data);
}

struct ctl_stream *netport_new(struct guest *g, struct h2_stream *s, const struct h2_head *head)
{
	struct netport *p;
	uint16_t port;

	if (g->state != GUEST_READY || g->nports >= NETPORT_MAX || head->authority[0] != ':' ||
	    dest_parse_port(head->authority + 1, strlen(head->authority + 1), &port) != DEST_OK)
		return NULL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->cs.ops = &ops;
	p->guest = g;
	p->stream = s;
	p->port = port;
	p->fd = -1;
	buf_init(&p->early, H2_STREAM_WINDOW);
	(void)uv_timer_init(&g->loop, &p->timer);
	p->timer.data = p;
	p->handles = 1;
	g->nports++;
	/* The stream cannot be reset while it is being announced. */
	(void)uv_timer_start(&p->timer, on_first_turn, 0, 0);
	return &p->cs;
}
