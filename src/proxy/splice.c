/* SPDX-License-Identifier: Apache-2.0
 *
 * splice: see splice.h.
 */
#include "proxy/splice.h"

#include <errno.h>
#include <stdlib.h>

#include "wire/sshident.h"

#define TICK_MS (60 * 1000) /* SPLICE_SSH_MS is one */
#define GATE_MAX (SSHIDENT_MAX + CHAN_CHUNK)

_Static_assert(SPLICE_SSH_MS == TICK_MS, "the first tick looks whether both sides speak SSH");

/* What one side has said before it may be passed on. */
struct gate {
	struct sshident ident;
	struct buf held;
};

struct splice {
	uv_timer_t timer;
	struct chan *guest, *origin;  /* owned; NULL once closed */
	uint64_t out0, in0, out, in;  /* the origin chan's counters at the beginning; ours once it is gone */
	uint64_t moved;               /* sum of counters at the last tick */
	unsigned int idle_ticks;
	bool half;                    /* one direction has ended */
	struct gate *gates;           /* owned: the guest's, the origin's; NULL: any bytes, or both were let through */
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

static void gates_free(struct splice *s)
{
	struct gate *g = TAKE_PTR(s->gates);

	for (size_t i = 0; g && i < 2; i++)
		buf_done(&g[i].held);
	free(g);
}

static bool gates_new(struct splice *s)
{
	s->gates = calloc(2, sizeof(*s->gates));
	if (!s->gates)
		return false;
	sshident_init(&s->gates[0].ident, SSHIDENT_CLIENT);
	sshident_init(&s->gates[1].ident, SSHIDENT_SERVER);
	buf_init(&s->gates[0].held, GATE_MAX);
	buf_init(&s->gates[1].held, GATE_MAX);
	return true;
}

static void let_go(struct splice *s)
{
	gates_free(s);
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
	if (s->gates)
		finish(s, -EPROTO);
	else if (s->idle_ticks >= (s->half ? SPLICE_HALF_MS : SPLICE_IDLE_MS) / TICK_MS)
		finish(s, -ETIMEDOUT);
}

static struct chan *other(struct splice *s, const struct chan *c)
{
	return c == s->guest ? s->origin : s->guest;
}

/* Bytes of a side whose identification is not whole yet. */
static size_t hold(struct splice *s, struct gate *g, struct chan *to, const uint8_t *bytes, size_t n)
{
	/* As much as fits: an identification that is whole within it lets the rest pass the usual way. */
	size_t take = n < GATE_MAX - buf_len(&g->held) ? n : GATE_MAX - buf_len(&g->held);
	enum sshident_result r = sshident_feed(&g->ident, bytes, take);

	if (r == SSHIDENT_NO || buf_append(&g->held, bytes, take) < 0) {
		finish(s, -EPROTO);
		return n;
	}
	if (r == SSHIDENT_MORE)
		return take;
	/* Nothing was written towards that side before, so there is room for so little. */
	if (to && chan_write(to, buf_bytes(&g->held), buf_len(&g->held)) != buf_len(&g->held)) {
		finish(s, -EPROTO);
		return n;
	}
	buf_consume(&g->held, buf_len(&g->held));
	if (s->gates[0].ident.result == SSHIDENT_YES && s->gates[1].ident.result == SSHIDENT_YES)
		gates_free(s);
	return take;
}

static size_t on_bytes(void *owner, struct chan *c, const uint8_t *bytes, size_t n)
{
	struct splice *s = owner;
	struct chan *to = other(s, c);
	struct gate *g = s->gates ? &s->gates[c == s->guest ? 0 : 1] : NULL;

	if (g && g->ident.result != SSHIDENT_YES)
		return hold(s, g, to, bytes, n);
	return to ? chan_write(to, bytes, n) : n;
}

static void on_eof(void *owner, struct chan *c)
{
	struct splice *s = owner;
	struct chan *to = other(s, c);

	s->half = true;
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

struct splice *splice_start(struct chan *guest, struct chan *origin, bool ssh, splice_done *done, void *user)
{
	struct splice *s = calloc(1, sizeof(*s));

	if (!s || (ssh && !gates_new(s))) {
		free(s);
		chan_free(guest);
		chan_free(origin);
		return NULL;
	}
	s->guest = guest;
	s->origin = origin;
	s->done = done;
	s->user = user;
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
