/* SPDX-License-Identifier: Apache-2.0
 *
 * netdoor: see netdoor.h. What goes out is gathered into one buffer, as on the control door: a write to the port costs the
 * same for a small frame as for a large one.
 */
#include "guest/netdoor.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/io.h"
#include "base/own.h"
#include "base/pump.h"
#include "base/str.h"

#define OUT_BYTES (2 * H2_PULL_MAX)
#define RETRY_MS 100
#define QUIET_MS 5000
#define DEAD_MS 15000

enum netdoor_state { NETDOOR_AWAY, NETDOOR_WAITING, NETDOOR_OPEN, NETDOOR_CLOSING };

struct netdoor {
	uv_loop_t *loop;                 /* borrowed */
	const struct netdoor_port *port; /* borrowed */
	void *user;
	enum netdoor_state state;
	bool freed;
	unsigned handles; /* that libuv knows */
	uv_timer_t timer; /* AWAY: opens; OPEN with streams: looks for life */
	uv_poll_t waiting;
	int fd;    /* owned while WAITING */
	int watch; /* owned while WAITING */
	struct pump pump;
	struct h2 *h2;     /* owned; while OPEN */
	size_t streams;    /* open in the session */
	uint64_t quiet_ms, dead_ms; /* of the port */
	uint64_t heard_ms; /* when the last bytes came */
	bool pinged;       /* a PING is out that no byte followed */
	uint64_t waited_ms; /* for it, counted by ticks: time that the machine stood still is no silence */
	uint8_t out[OUT_BYTES];
};

static void open_port(struct netdoor *d);

static void maybe_free(struct netdoor *d)
{
	if (d->freed && d->handles == 0)
		free(d);
}

/* ---- the session ---- */

static void on_response(void *user, struct h2_stream *s, int status)
{
	if (status != 200)
		netjoin_reset(h2_user(s));
}

static void on_data(void *user, struct h2_stream *s, const uint8_t *bytes, size_t n)
{
	netjoin_data(h2_user(s), bytes, n);
}

static void on_eof(void *user, struct h2_stream *s)
{
	netjoin_eof(h2_user(s));
}

static void on_writable(void *user, struct h2_stream *s)
{
	netjoin_writable(h2_user(s));
}

static void on_closed(void *user, struct h2_stream *s, uint32_t error)
{
	struct netdoor *d = user;

	/* A machine at rest is not woken. */
	if (--d->streams == 0)
		(void)uv_timer_stop(&d->timer);
	netjoin_closed(h2_user(s), error);
}

static const struct h2_ops h2_ops = {
	.response = on_response, .data = on_data, .eof = on_eof, .writable = on_writable, .closed = on_closed,
};

static int pump_bytes(struct pump *p, const uint8_t *bytes, size_t n)
{
	struct netdoor *d = p->user;
	int r;

	d->heard_ms = uv_now(d->loop);
	d->pinged = false;
	r = h2_feed(d->h2, bytes, n);
	if (r == 0 && h2_wants_write(d->h2))
		pump_kick(p);
	return r;
}

static long pump_pull(struct pump *p, const uint8_t **ret)
{
	struct netdoor *d = p->user;
	size_t have = 0;

	while (OUT_BYTES - have >= H2_PULL_MAX) {
		const uint8_t *bytes;
		long n = h2_pull(d->h2, &bytes);

		if (n < 0)
			return n;
		if (n == 0)
			break;
		if ((size_t)n > OUT_BYTES - have)
			return -EPROTO;
		memcpy(d->out + have, bytes, (size_t)n);
		have += (size_t)n;
	}
	*ret = d->out;
	return (long)have;
}

static void end_session(struct netdoor *d)
{
	struct h2 *h2 = TAKE_PTR(d->h2);

	d->state = NETDOOR_CLOSING;
	(void)uv_timer_stop(&d->timer);
	h2_free(h2);
}

static void pump_end(struct pump *p, int error)
{
	end_session(p->user);
}

static void on_retry(uv_timer_t *t)
{
	open_port(t->data);
}

static void go_away(struct netdoor *d)
{
	d->state = NETDOOR_AWAY;
	if (!d->freed)
		(void)uv_timer_start(&d->timer, on_retry, RETRY_MS, 0);
}

static void pump_closed(struct pump *p)
{
	struct netdoor *d = p->user;

	d->handles--;
	go_away(d);
	maybe_free(d);
}

static const struct pump_ops pump_ops = {
	.bytes = pump_bytes, .pull = pump_pull, .end = pump_end, .closed = pump_closed,
};

/* ---- is anybody there? ---- */

static void ask(struct netdoor *d)
{
	uint64_t now = uv_now(d->loop);

	if (d->pinged || now - d->heard_ms < d->quiet_ms)
		return;
	d->pinged = true;
	d->waited_ms = 0;
	h2_ping(d->h2);
	pump_kick(&d->pump);
}

static void on_tick(uv_timer_t *t)
{
	struct netdoor *d = t->data;

	d->waited_ms += d->quiet_ms / 2;
	if (d->pinged && d->waited_ms > d->dead_ms) {
		pump_stop(&d->pump);
		end_session(d);
	} else {
		ask(d);
	}
}

/* ---- the port ---- */

static void serve(struct netdoor *d)
{
	d->h2 = h2_new(H2_CLIENT, &h2_ops, d);
	if (!d->h2 || pump_start(&d->pump, d->loop, TAKE_FD(d->fd), &pump_ops, d) < 0) {
		own_close_p(&d->fd);
		h2_free(TAKE_PTR(d->h2));
		go_away(d);
		return;
	}
	d->pump.gather = true; /* a virtio port gives a page at a time */
	d->handles++;
	d->state = NETDOOR_OPEN;
	d->heard_ms = uv_now(d->loop);
	d->pinged = false;
}

static void on_watch_closed(uv_handle_t *h)
{
	struct netdoor *d = h->data;

	d->handles--;
	own_close_p(&d->watch);
	if (d->freed)
		own_close_p(&d->fd);
	else
		serve(d);
	maybe_free(d);
}

static void on_watch(uv_poll_t *h, int status, int events)
{
	struct netdoor *d = h->data;

	d->port->watch_clear(d->watch);
	if (uv_is_closing((uv_handle_t *)h) || !d->port->connected(d->fd))
		return;
	(void)uv_poll_stop(h);
	uv_close((uv_handle_t *)h, on_watch_closed);
}

static void wait_for_host(struct netdoor *d)
{
	d->watch = d->port->watch(d->fd);
	if (d->watch < 0 || uv_poll_init(d->loop, &d->waiting, d->watch) < 0) {
		own_close_p(&d->watch);
		own_close_p(&d->fd);
		go_away(d);
		return;
	}
	d->handles++;
	d->waiting.data = d;
	d->state = NETDOOR_WAITING;
	(void)uv_poll_start(&d->waiting, UV_READABLE, on_watch);
}

static void open_port(struct netdoor *d)
{
	d->fd = d->port->open(d->user);
	if (d->fd < 0)
		go_away(d);
	else if (d->port->watch)
		wait_for_host(d);
	else
		serve(d);
}

struct netdoor *netdoor_new(uv_loop_t *loop, const struct netdoor_port *port, void *user)
{
	struct netdoor *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->loop = loop;
	d->port = port;
	d->quiet_ms = port->quiet_ms ? port->quiet_ms : QUIET_MS;
	d->dead_ms = port->dead_ms ? port->dead_ms : DEAD_MS;
	d->user = user;
	d->fd = d->watch = -1;
	(void)uv_timer_init(loop, &d->timer);
	d->timer.data = d;
	d->handles = 1;
	open_port(d);
	return d;
}

static void on_timer_closed(uv_handle_t *h)
{
	struct netdoor *d = h->data;

	d->handles--;
	maybe_free(d);
}

void netdoor_free(struct netdoor *d)
{
	if (!d || d->freed)
		return;
	d->freed = true;
	if (d->state == NETDOOR_OPEN) {
		pump_stop(&d->pump);
		end_session(d);
	} else if (d->state == NETDOOR_WAITING && !uv_is_closing((uv_handle_t *)&d->waiting)) {
		(void)uv_poll_stop(&d->waiting);
		uv_close((uv_handle_t *)&d->waiting, on_watch_closed);
	}
	(void)uv_timer_stop(&d->timer);
	uv_close((uv_handle_t *)&d->timer, on_timer_closed);
}

void netdoor_connect(struct netdoor *d, const char *authority, struct netjoin *j)
{
	struct h2_head head = { .method = "CONNECT" };
	struct h2_stream *s = NULL;

	if (d->state == NETDOOR_OPEN && str_format(head.authority, sizeof(head.authority), "%s", authority) == 0)
		s = h2_request(d->h2, &head);
	if (s) {
		h2_set_user(s, j);
		if (d->streams++ == 0)
			(void)uv_timer_start(&d->timer, on_tick, d->quiet_ms / 2, d->quiet_ms / 2);
		ask(d);
		pump_kick(&d->pump);
	}
	netjoin_start(j, s);
}

void netdoor_renew(struct netdoor *d)
{
	if (d->state != NETDOOR_OPEN)
		return;
	pump_stop(&d->pump);
	end_session(d);
}

void netdoor_kick(struct netdoor *d)
{
	if (d->state == NETDOOR_OPEN)
		pump_kick(&d->pump);
}

bool netdoor_is_open(const struct netdoor *d)
{
	return d->state == NETDOOR_OPEN;
}
