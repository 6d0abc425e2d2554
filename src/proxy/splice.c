/* SPDX-License-Identifier: Apache-2.0
 *
 * splice: see splice.h.
 */
#include "proxy/splice.h"

#include <errno.h>
#include <stdlib.h>

#define TICK_MS (60 * 1000)

struct splice {
	uv_timer_t timer;
	struct chan *guest, *origin;  /* owned; NULL once closed */
	uint64_t out0, in0, out, in;  /* the origin chan's counters at the beginning; ours once it is gone */
	uint64_t moved;               /* sum of counters at the last tick */
	unsigned int idle_ticks;
	splice_done *done;
	void *user;
};

static void count(struct splice *s)
{
	if (!s->origin)
		return;
	s->out = s->origin->bytes_out - s->out0;
	s->in = s->origin->bytes_in - s->in0;
}

static void on_freed(uv_handle_t *h)
{
	free(container_of((uv_timer_t *)h, struct splice, timer));
}

static void let_go(struct splice *s)
{
	count(s);
	chan_free(TAKE_PTR(s->guest));
	chan_free(TAKE_PTR(s->origin));
	uv_close((uv_handle_t *)&s->timer, on_freed);
}

static void finish(struct splice *s, int error)
{
	splice_done *done = s->done;
	void *user = s->user;

	let_go(s);
	done(user, error, s->out, s->in);
}

static void on_tick(uv_timer_t *t)
{
	struct splice *s = container_of(t, struct splice, timer);
	uint64_t moved;

	count(s);
	moved = s->out + s->in;
	s->idle_ticks = moved == s->moved ? s->idle_ticks + 1 : 0;
	s->moved = moved;
	if (s->idle_ticks >= SPLICE_IDLE_MS / TICK_MS)
		finish(s, -ETIMEDOUT);
}

static struct chan *other(struct splice *s, const struct chan *c)
{
	return c == s->guest ? s->origin : s->guest;
}

static size_t on_bytes(void *owner, struct chan *c, const uint8_t *bytes, size_t n)
{
	struct chan *to = other(owner, c);

	return to ? chan_write(to, bytes, n) : n;
}

static void on_eof(void *owner, struct chan *c)
{
	struct chan *to = other(owner, c);

	if (to)
		chan_shutdown(to);
}

static void on_writable(void *owner, struct chan *c)
{
	struct chan *from = other(owner, c);

	if (from)
		chan_resume(from);
}

static void on_closed(void *owner, struct chan *c, int error)
{
	struct splice *s = owner;

	if (error != 0) {
		finish(s, error);
		return;
	}
	count(s);
	if (c == s->guest)
		chan_free(TAKE_PTR(s->guest));
	else
		chan_free(TAKE_PTR(s->origin));
	if (!s->guest && !s->origin)
		finish(s, 0);
}

static const struct chan_ops ops = {
	.bytes = on_bytes, .eof = on_eof, .writable = on_writable, .closed = on_closed,
};

struct splice *splice_start(struct chan *guest, struct chan *origin, splice_done *done, void *user)
{
	struct splice *s = calloc(1, sizeof(*s));

	if (!s) {
		chan_free(guest);
		chan_free(origin);
		return NULL;
	}
	*s = (struct splice){ .guest = guest, .origin = origin, .done = done, .user = user };
	s->out0 = origin->bytes_out;
	s->in0 = origin->bytes_in;
	(void)uv_timer_init(guest->turn->idle.loop, &s->timer);
	(void)uv_timer_start(&s->timer, on_tick, TICK_MS, TICK_MS);
	chan_own(guest, &ops, s);
	chan_own(origin, &ops, s);
	chan_resume(guest);
	chan_resume(origin);
	return s;
}

void splice_cut(struct splice *s, uint64_t *ret_out, uint64_t *ret_in)
{
	let_go(s);
	*ret_out = s->out;
	*ret_in = s->in;
}
