/* SPDX-License-Identifier: Apache-2.0
 *
 * chan: see chan.h. What the owner is to be told is kept as flags and told in the loop's next turn (tell); only fresh bytes go to the
 * owner at once, for which the carrier calls from the loop anyway.
 */
#include "proxy/chan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void tell(struct turn_item *i);

void chan_init(struct chan *c, const struct chan_class *class, struct turn *turn)
{
	*c = (struct chan){ .class = class, .turn = turn, .item = { .run = tell } };
	buf_init(&c->kept, CHAN_KEPT);
}

void chan_done(struct chan *c)
{
	turn_drop(&c->item);
	buf_done(&c->kept);
}

void chan_own(struct chan *c, const struct chan_ops *ops, void *owner)
{
	c->ops = ops;
	c->owner = owner;
	c->eof_told = false;
	c->blocked = false;
	c->room_again = false;
}

static void release(struct chan *c)
{
	turn_drop(&c->item);
	buf_done(&c->kept);
	c->class->release(c, !c->ended || c->error != 0);
}

/* After a callback: false where the owner has let go meanwhile; then c is not to be used any more. */
static bool leave(struct chan *c)
{
	c->delivering = false;
	if (!c->gone)
		return true;
	release(c);
	return false;
}

/* Gives the owner n bytes; *ret_took says how many it took. false: it has let go. The carrier hears of each byte once: what stands at the
 * front because it was unread has been told before. */
static bool offer(struct chan *c, const uint8_t *bytes, size_t n, size_t *ret_took)
{
	size_t before = c->credited, took, known;

	c->delivering = true;
	c->resumed = false;
	c->credited = 0;
	took = c->ops->bytes(c->owner, c, bytes, n);
	*ret_took = took;
	if (!leave(c))
		return false;
	known = took < before ? took : before;
	c->credited += before - known;
	c->bytes_in += took;
	if (took > known && c->class->consumed)
		c->class->consumed(c, took - known);
	if (took < n && !c->resumed && c->reading) {
		c->reading = false;
		c->class->set_reading(c, false);
	}
	return true;
}

int chan_deliver(struct chan *c, const uint8_t *bytes, size_t n)
{
	size_t took = 0;
	int r = 0;

	if (c->gone || c->ended)
		return c->gone ? -ECANCELED : 0;
	if (c->reading && buf_len(&c->kept) == 0 && n > 0 && !offer(c, bytes, n, &took))
		return -ECANCELED;
	/* What the owner gave back in the call stands in kept by now, before this. */
	if (took < n)
		r = buf_append(&c->kept, bytes + took, n - took);
	if (buf_len(&c->kept) > 0 && c->reading)
		turn_post(c->turn, &c->item);
	return r;
}

/* false: the owner has let go. */
static bool tell_bytes(struct chan *c)
{
	/* The owner may unread: the queue is ours alone while it looks. */
	struct buf now = c->kept;
	size_t took;
	int r = 0;

	buf_init(&c->kept, CHAN_KEPT);
	if (!offer(c, buf_bytes(&now), buf_len(&now), &took)) {
		buf_done(&now);
		return false;
	}
	buf_consume(&now, took);
	if (buf_len(&c->kept) == 0) {
		buf_done(&c->kept);
		c->kept = now;
	} else {
		r = buf_append(&c->kept, buf_bytes(&now), buf_len(&now));
		buf_done(&now);
	}
	if (buf_len(&c->kept) == 0)
		buf_done(&c->kept);
	else if (c->reading)
		turn_post(c->turn, &c->item);
	if (r < 0)
		chan_deliver_closed(c, r);
	return true;
}

static bool tell_eof(struct chan *c)
{
	c->eof_told = true;
	c->delivering = true;
	c->ops->eof(c->owner, c);
	return leave(c);
}

static bool tell_writable(struct chan *c)
{
	c->room_again = false;
	c->blocked = false;
	if (!c->ops->writable)
		return true;
	c->delivering = true;
	c->ops->writable(c->owner, c);
	return leave(c);
}

static void tell_closed(struct chan *c)
{
	c->closed_told = true;
	c->delivering = true;
	c->ops->closed(c->owner, c, c->error);
	(void)leave(c);
}

static void tell(struct turn_item *i)
{
	struct chan *c = container_of(i, struct chan, item);

	if (c->ended && c->error != 0) {
		if (!c->closed_told)
			tell_closed(c);
		return;
	}
	if (c->reading && buf_len(&c->kept) > 0 && !tell_bytes(c))
		return;
	if (c->reading && buf_len(&c->kept) == 0 && c->peer_eof && !c->eof_told && !tell_eof(c))
		return;
	if (c->reading && !c->peer_eof && buf_len(&c->kept) == 0 && !c->ended)
		c->class->set_reading(c, true);
	if (c->blocked && c->room_again && !c->ended && !tell_writable(c))
		return;
	if (c->ended && !c->closed_told && (c->error != 0 || c->eof_told))
		tell_closed(c);
}

void chan_resume(struct chan *c)
{
	c->resumed = true;
	c->reading = true;
	if (buf_len(&c->kept) > 0 || c->peer_eof || c->delivering)
		turn_post(c->turn, &c->item);
	else if (!c->ended)
		c->class->set_reading(c, true);
}

void chan_pause(struct chan *c)
{
	c->resumed = false;
	if (!c->reading)
		return;
	c->reading = false;
	if (!c->ended)
		c->class->set_reading(c, false);
}

size_t chan_writev(struct chan *c, const struct iovec *iov, int n)
{
	size_t offered = 0, took;

	for (int i = 0; i < n; i++)
		offered += iov[i].iov_len;
	if (c->ended || c->shut)
		return 0;
	took = offered > 0 ? c->class->writev(c, iov, n) : 0;
	c->bytes_out += took;
	if (took < offered)
		c->blocked = true;
	return took;
}

size_t chan_write(struct chan *c, const void *bytes, size_t n)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = n };

	return chan_writev(c, &iov, 1);
}

size_t chan_room(const struct chan *c)
{
	return c->ended || c->shut ? 0 : c->class->room(c);
}

void chan_want_room(struct chan *c)
{
	c->blocked = true;
	if (c->class->want_room && !c->ended && !c->shut)
		c->class->want_room(c);
}

void chan_shutdown(struct chan *c)
{
	if (c->shut || c->ended)
		return;
	c->shut = true;
	c->class->shutdown(c);
}

int chan_unread(struct chan *c, const void *bytes, size_t n)
{
	struct buf b;
	int r;

	buf_init(&b, CHAN_KEPT);
	r = buf_append(&b, bytes, n);
	if (r == 0)
		r = buf_append(&b, buf_bytes(&c->kept), buf_len(&c->kept));
	if (r < 0) {
		buf_done(&b);
		return r;
	}
	buf_done(&c->kept);
	c->kept = b;
	c->credited += n;
	c->bytes_in -= n;
	if (c->reading)
		turn_post(c->turn, &c->item);
	return 0;
}

void chan_free(struct chan *c)
{
	if (!c || c->gone)
		return;
	c->gone = true;
	if (!c->delivering)
		release(c);
}

/* --- chan_close: a last owner that only waits --- */

struct lingering {
	uv_timer_t timer;
	struct lingering *prev, *next;
	struct turn *turn; /* borrowed */
	struct chan *chan; /* owned; NULL once it is over */
};

static void linger_freed(uv_handle_t *h)
{
	free(container_of((uv_timer_t *)h, struct lingering, timer));
}

static void linger_end(struct lingering *l)
{
	struct chan *c = TAKE_PTR(l->chan);

	chan_free(c);
	if (!c)
		return;
	*(l->prev ? &l->prev->next : &l->turn->lingering) = l->next;
	if (l->next)
		l->next->prev = l->prev;
	uv_close((uv_handle_t *)&l->timer, linger_freed);
}

void chan_stop_lingering(struct turn *turn)
{
	while (turn->lingering)
		linger_end(turn->lingering);
}

static void linger_timeout(uv_timer_t *t)
{
	linger_end(container_of(t, struct lingering, timer));
}

static size_t linger_bytes(void *owner, struct chan *c, const uint8_t *bytes, size_t n)
{
	return n;
}

static void linger_eof(void *owner, struct chan *c)
{
}

static void linger_closed(void *owner, struct chan *c, int error)
{
	linger_end(owner);
}

static const struct chan_ops linger_ops = { .bytes = linger_bytes, .eof = linger_eof, .closed = linger_closed };

void chan_close(struct chan *c)
{
	struct lingering *l = c && !c->ended ? calloc(1, sizeof(*l)) : NULL;

	if (!l) {
		chan_free(c);
		return;
	}
	(void)uv_timer_init(c->turn->idle.loop, &l->timer);
	l->chan = c;
	l->turn = c->turn;
	l->next = c->turn->lingering;
	if (l->next)
		l->next->prev = l;
	c->turn->lingering = l;
	chan_own(c, &linger_ops, l);
	(void)uv_timer_start(&l->timer, linger_timeout, CHAN_LINGER_MS, 0);
	uv_unref((uv_handle_t *)&l->timer); /* the process does not stay for a peer that says nothing */
	chan_shutdown(c);
	chan_resume(c);
}

/* --- carriers --- */

void chan_deliver_eof(struct chan *c)
{
	c->peer_eof = true;
	if (!c->gone)
		turn_post(c->turn, &c->item);
}

void chan_deliver_writable(struct chan *c)
{
	if (c->gone || !c->blocked)
		return;
	c->room_again = true;
	turn_post(c->turn, &c->item);
}

void chan_deliver_closed(struct chan *c, int error)
{
	if (c->gone || c->ended)
		return;
	c->ended = true;
	c->error = error;
	turn_post(c->turn, &c->item);
}
