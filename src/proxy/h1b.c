/* SPDX-License-Identifier: Apache-2.0
 *
 * h1b: see h1b.h.
 */
#include "proxy/h1b.h"

#include <errno.h>
#include <stdlib.h>

#include "proxy/h1.h"
#include "proxy/pool.h"

enum state {
	IDLE,
	HEAD,  /* reads the answer's head */
	BODY,  /* reads its body */
	DONE,  /* the answer is complete, the exchange perhaps not */
	RAW,   /* after a 101 */
};

struct h1b {
	struct origin origin;
	struct chan *chan;  /* owned */
	struct exchange *x; /* NULL: none */
	enum state state;
	struct h1_in in;
	struct h1_out out;
	struct turn_item flush; /* a head that no body byte has followed yet */
	bool sent_all;          /* the request is complete */
	bool answered;          /* a byte of an answer came */
	bool reusable;
	bool broken;            /* what is to be written cannot be */
};

static void h1b_free(struct h1b *h)
{
	origin_done(&h->origin);
	turn_drop(&h->flush);
	httpmsg_done(&h->in.msg);
	h1_out_done(&h->out);
	chan_free(h->chan);
	free(h);
}

static void break_off(struct h1b *h, enum exchange_fault fault)
{
	struct exchange *x = TAKE_PTR(h->x);

	if (x)
		exchange_abort(x, EXCHANGE_BACK, fault);
	h1b_free(h);
}

/* The peer is gone. */
static void lost(struct h1b *h)
{
	break_off(h, h->state == HEAD && !h->answered && h->origin.reused ? EXCHANGE_UNTOUCHED : EXCHANGE_GONE);
}

static void fail_write(struct h1b *h)
{
	h->broken = true;
	turn_post(h->chan->turn, &h->flush);
}

/* --- what the exchange says --- */

static void on_head(void *side, struct httpmsg *m, bool end)
{
	struct h1b *h = side;

	h->sent_all = end;
	if (httphead_write_request(&h->out.pending, m, HTTPHEAD_ORIGIN) < 0) {
		fail_write(h);
		return;
	}
	h1_out_body(&h->out, end ? HTTPMSG_BODY_NONE : m->body, m->length);
	httphead_init(&h->in.head, &h->in.msg, h->origin.dest.scheme);
	httpmsg_answers(&h->in.msg, m);
	if (end)
		(void)h1_out_flush(&h->out);
	else
		turn_post(h->chan->turn, &h->flush);
	chan_resume(h->chan);
}

static void on_flush(struct turn_item *i)
{
	struct h1b *h = container_of(i, struct h1b, flush);

	if (h->broken)
		break_off(h, EXCHANGE_GONE);
	else
		(void)h1_out_flush(&h->out);
}

static size_t on_data(void *side, const uint8_t *bytes, size_t n)
{
	struct h1b *h = side;
	long r = h->broken ? (long)n : h1_out_data(&h->out, bytes, n);

	if (r < 0)
		fail_write(h);
	return r < 0 ? n : (size_t)r;
}

static void on_end(void *side, struct httpmsg *trailers)
{
	struct h1b *h = side;

	h->sent_all = true;
	if (h->state == RAW)
		chan_shutdown(h->chan);
	else if (h1_out_end(&h->out) < 0)
		fail_write(h);
}

static void on_resume(void *side)
{
	struct h1b *h = side;

	chan_resume(h->chan);
}

static void on_closed(void *side, enum exchange_how how)
{
	struct h1b *h = side;

	h->x = NULL;
	h->origin.active = 0;
	turn_drop(&h->flush);
	if (how != EXCHANGE_DONE || !h->reusable || h->broken || !h1_out_flush(&h->out) || !origin_idle(&h->origin)) {
		if (how == EXCHANGE_DONE && !h->broken)
			chan_close(TAKE_PTR(h->chan));
		h1b_free(h);
		return;
	}
	h->state = IDLE;
	/* Reads on: an end, or bytes that nobody asked for, end it. */
	chan_resume(h->chan);
}

static const struct exchange_ops exchange_ops = {
	.head = on_head,
	.data = on_data,
	.end = on_end,
	.resume = on_resume,
	.closed = on_closed,
};

/* --- what the origin sends --- */

static void complete(struct h1b *h)
{
	h->state = DONE;
	h->reusable = h->sent_all && !h->in.msg.close && h->in.msg.body != HTTPMSG_BODY_EOF;
}

/* A head is there. false: h is gone. */
static void take_head(struct h1b *h)
{
	struct httpmsg m;
	bool end;

	if (h->in.msg.status < 200 && h->in.msg.status != 101) {
		exchange_head(h->x, EXCHANGE_BACK, &h->in.msg, false);
		httphead_init(&h->in.head, &h->in.msg, h->origin.dest.scheme);
		httpmsg_answers(&h->in.msg, exchange_request(h->x));
		return;
	}
	h1_in_body_begin(&h->in);
	end = h->in.body.done && h->in.msg.status != 101;
	h->state = h->in.msg.status == 101 ? RAW : BODY;
	if (end)
		complete(h);
	m = h->in.msg;
	httpmsg_init(&h->in.msg, HTTPMSG_RESPONSE);
	h->in.msg.close = m.close;
	h->in.msg.body = m.body;
	exchange_head(h->x, EXCHANGE_BACK, &m, end);
}

/* How many bytes it took, -1: h is gone. */
static long read_head(struct h1b *h, const uint8_t *bytes, size_t n)
{
	struct httpmsg_refusal why = { 0 };
	long r = httphead_feed(&h->in.head, bytes, n, &why);

	h->answered = true;
	if (r < 0) {
		break_off(h, EXCHANGE_PROTOCOL);
		return -1;
	}
	if (h->in.head.done)
		take_head(h);
	return r;
}

static long read_body(struct h1b *h, const uint8_t *bytes, size_t n)
{
	long r = h1_in_body(&h->in, h->x, EXCHANGE_BACK, bytes, n);

	if (r < 0) {
		break_off(h, EXCHANGE_PROTOCOL);
		return -1;
	}
	if (h1_in_body_done(&h->in) && h->state == BODY) {
		complete(h);
		exchange_end(h->x, EXCHANGE_BACK, NULL);
	}
	return r;
}

static size_t on_bytes(void *owner, struct chan *c, const uint8_t *bytes, size_t n)
{
	struct h1b *h = owner;
	size_t used = 0;
	long r;

	/* An answer that nobody asked for, or more than one: what it would be taken for later is the danger. */
	if (h->state == IDLE || (h->state == DONE && h->reusable)) {
		h->reusable = false;
		if (h->state == IDLE)
			h1b_free(h);
		return n;
	}
	while (h->state == HEAD && used < n) {
		r = read_head(h, bytes + used, n - used);
		if (r < 0)
			return n;
		used += (size_t)r;
	}
	if (h->state == BODY && used < n) {
		r = read_body(h, bytes + used, n - used);
		if (r < 0)
			return n;
		used += (size_t)r;
	}
	if (h->state == RAW && used < n)
		used += exchange_data(h->x, EXCHANGE_BACK, bytes + used, n - used);
	if (h->state == DONE && used < n) {
		h->reusable = false;
		used = n;
	}
	return used;
}

static void on_eof(void *owner, struct chan *c)
{
	struct h1b *h = owner;

	h->reusable = false;
	if (h->state == IDLE)
		h1b_free(h);
	else if (h->state == RAW)
		exchange_end(h->x, EXCHANGE_BACK, NULL);
	else if (h->state == BODY && httpbody_eof(&h->in.body) == 0) {
		complete(h);
		h->reusable = false;
		exchange_end(h->x, EXCHANGE_BACK, NULL);
	} else if (h->state != DONE)
		lost(h);
}

static void on_writable(void *owner, struct chan *c)
{
	struct h1b *h = owner;

	if (h1_out_flush(&h->out) && h->x && h1_out_has_room(&h->out))
		exchange_writable(h->x, EXCHANGE_BACK);
}

static void on_chan_closed(void *owner, struct chan *c, int error)
{
	struct h1b *h = owner;

	h->reusable = false;
	/* A complete answer stands, however the connection ended after it. */
	if (h->state != DONE || !h->x)
		lost(h);
}

static const struct chan_ops chan_ops = {
	.bytes = on_bytes,
	.eof = on_eof,
	.writable = on_writable,
	.closed = on_chan_closed,
};

/* --- the pool --- */

static int h1b_open(struct origin *o, struct exchange *x, const struct exchange_ops **ret_ops, void **ret_side)
{
	struct h1b *h = container_of(o, struct h1b, origin);

	if (h->x)
		return -EBUSY;
	h->x = x;
	h->origin.active = 1;
	h->state = HEAD;
	h->sent_all = h->answered = h->reusable = false;
	*ret_ops = &exchange_ops;
	*ret_side = h;
	return 0;
}

static void h1b_close(struct origin *o)
{
	break_off(container_of(o, struct h1b, origin), EXCHANGE_GONE);
}

static const struct origin_class h1b_class = { .open = h1b_open, .close = h1b_close };

struct origin *h1b_new(struct pool *p, struct chan *c)
{
	struct h1b *h = calloc(1, sizeof(*h));

	if (!h) {
		chan_free(c);
		return NULL;
	}
	h->chan = c;
	h->flush.run = on_flush;
	httpmsg_init(&h->in.msg, HTTPMSG_RESPONSE);
	h1_out_init(&h->out, c);
	origin_init(&h->origin, &h1b_class, p);
	chan_own(c, &chan_ops, h);
	return &h->origin;
}
