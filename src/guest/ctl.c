/* SPDX-License-Identifier: Apache-2.0
 *
 * ctl: see ctl.h. What goes out is gathered into one buffer of fixed size: a write to the port costs the same for a
 * small frame as for a large one, and the pump keeps the bytes across turns while the session goes on.
 */
#include "guest/ctl.h"

#include <errno.h>
#include <string.h>

#include "base/io.h"
#include "base/own.h"
#include "base/pump.h"
#include "base/str.h"
#include "guest/calls.h"
#include "guest/console.h"
#include "guest/halt.h"
#include "guest/netport.h"
#include "guest/opens.h"
#include "guest/ports.h"
#include "guest/session.h"

#define PORT "sbx.ctl"
#define OUT_BYTES (2 * H2_PULL_MAX)
#define REOPEN_TIMEOUT_MS 10000

struct ctl {
	struct guest *guest; /* borrowed */
	struct pump pump;
	struct h2 *h2;   /* owned; NULL while no host is there */
	int port;        /* owned until the pump takes it */
	int watch;       /* owned; of ports_watch, while waiting for a host */
	uv_poll_t waiting;
	uint8_t out[OUT_BYTES];
};

static void wait_for_host(struct ctl *c);

static int on_request(void *user, struct h2_stream *s, const struct h2_head *head)
{
	struct ctl *c = user;
	struct ctl_stream *cs = NULL;

	if (str_eq(head->method, "POST") && str_eq(head->path, "/exec"))
		cs = session_new(c->guest, s);
	else if (str_eq(head->method, "POST") && str_eq(head->path, "/port"))
		cs = netport_new(c->guest, s, head);
	else if (str_eq(head->method, "POST") && str_eq(head->path, "/open"))
		cs = opens_stream(c->guest, s);
	else
		cs = calls_new(c->guest, s, head);
	if (!cs)
		return -ENOMEM;
	h2_set_user(s, cs);
	return 0;
}

static void on_data(void *user, struct h2_stream *s, const uint8_t *bytes, size_t n)
{
	struct ctl_stream *cs = h2_user(s);

	cs->ops->data(cs, bytes, n);
}

static void on_eof(void *user, struct h2_stream *s)
{
	struct ctl_stream *cs = h2_user(s);

	cs->ops->eof(cs);
}

static void on_writable(void *user, struct h2_stream *s)
{
	struct ctl_stream *cs = h2_user(s);

	cs->ops->writable(cs);
}

static void on_closed(void *user, struct h2_stream *s, uint32_t error)
{
	struct ctl_stream *cs = h2_user(s);

	if (cs)
		cs->ops->closed(cs, error);
}

static const struct h2_ops h2_ops = {
	.request = on_request, .data = on_data, .eof = on_eof, .writable = on_writable, .closed = on_closed,
};

static int pump_bytes(struct pump *p, const uint8_t *bytes, size_t n)
{
	struct ctl *c = p->user;
	int r = h2_feed(c->h2, bytes, n);

	if (r == 0)
		pump_kick(p);
	return r;
}

static long pump_pull(struct pump *p, const uint8_t **ret)
{
	struct ctl *c = p->user;
	size_t have = 0;

	while (OUT_BYTES - have >= H2_PULL_MAX) {
		const uint8_t *bytes;
		long n = h2_pull(c->h2, &bytes);

		if (n < 0)
			return n;
		if (n == 0)
			break;
		if ((size_t)n > OUT_BYTES - have)
			return -EPROTO;
		memcpy(c->out + have, bytes, (size_t)n);
		have += (size_t)n;
	}
	*ret = c->out;
	if (have == 0)
		halt_poke(c->guest);
	return (long)have;
}

static void pump_end(struct pump *p, int error)
{
	struct ctl *c = p->user;

	if (error)
		console_line("control door: %s", strerror(-error));
	sessions_host_gone(c->guest, true);
	h2_free(c->h2);
	sessions_host_gone(c->guest, false);
	c->h2 = NULL;
}

static void pump_closed(struct pump *p)
{
	struct ctl *c = p->user;
	struct err err;

	c->port = ports_open(PORT, io_now_ms() + REOPEN_TIMEOUT_MS, &err);
	if (c->port < 0)
		console_line("%s", err.msg);
	else
		wait_for_host(c);
}

static const struct pump_ops pump_ops = {
	.bytes = pump_bytes, .pull = pump_pull, .end = pump_end, .closed = pump_closed,
};

static void serve(struct ctl *c)
{
	int port = TAKE_FD(c->port), r;

	c->h2 = h2_new(H2_SERVER, &h2_ops, c);
	r = c->h2 ? pump_start(&c->pump, &c->guest->loop, port, &pump_ops, c) : -ENOMEM;
	if (r < 0) {
		console_line("control door: %s", strerror(-r));
		halt_now();
	}
}

static void on_watch_closed(uv_handle_t *h)
{
	struct ctl *c = h->data;

	own_close_p(&c->watch);
	serve(c);
}

static void on_watch(uv_poll_t *h, int status, int events)
{
	struct ctl *c = h->data;

	ports_watch_clear(c->watch);
	if (!ports_connected(c->port) || uv_is_closing((uv_handle_t *)h))
		return;
	(void)uv_poll_stop(h);
	uv_close((uv_handle_t *)h, on_watch_closed);
}

static void wait_for_host(struct ctl *c)
{
	c->watch = ports_watch(c->port);
	if (c->watch < 0 || uv_poll_init(&c->guest->loop, &c->waiting, c->watch) < 0) {
		console_line("control door: cannot wait for the host");
		halt_now();
	}
	c->waiting.data = c;
	(void)uv_poll_start(&c->waiting, UV_READABLE, on_watch);
}

int ctl_start(struct guest *g, uint64_t deadline_ms, struct err *err)
{
	struct ctl *c = calloc(1, sizeof(*c));

	if (!c)
		return err_errno(err, ENOMEM, "control door");
	c->guest = g;
	c->watch = -1;
	c->port = ports_open(PORT, deadline_ms, err);
	if (c->port < 0) {
		int r = c->port;

		free(c);
		return r;
	}
	g->ctl = c;
	wait_for_host(c);
	return 0;
}

void ctl_kick(struct guest *g)
{
	if (g->ctl->h2)
		pump_kick(&g->ctl->pump);
}

bool ctl_idle(const struct guest *g)
{
	const struct ctl *c = g->ctl;

	return !c || !c->h2 || (!h2_wants_write(c->h2) && c->pump.out_len == 0);
}
