/* SPDX-License-Identifier: Apache-2.0
 *
 * h2b: see h2b.h.
 */
#include "proxy/h2b.h"

#include <errno.h>
#include <stdlib.h>

#include "proxy/h2conn.h"
#include "proxy/pool.h"

#define SETTLE_MS 2000 /* an origin that keeps its SETTINGS back takes what the protocol assumes without them */

struct h2b {
	struct origin origin;
	struct h2conn h2;
	bool draining; /* no more streams */
	struct turn_item settled;
	struct due settle; /* of its SETTINGS */
};

/* --- the pool --- */

static bool has_room(struct h2b *h)
{
	uint32_t most = nghttp2_session_get_remote_settings(h->h2.session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

	/* Without its SETTINGS one request may be sent, and no more: what is too much would be refused. */
	if (h->origin.coming && h->h2.nstreams > 0)
		return false;
	return !h->draining && !h->h2.goaway && !h->h2.ending && h->h2.nstreams < most && h->h2.nstreams < H2CONN_STREAMS_MAX &&
	       nghttp2_session_check_request_allowed(h->h2.session);
}

static void on_changed(struct h2conn *c)
{
	struct h2b *h = container_of(c, struct h2b, h2);
	struct origin *o = &h->origin;
	bool ended = o->active > 0 && c->nstreams == 0;

	if (c->settled && o->coming)
		turn_post(c->chan->turn, &h->settled);
	o->active = (unsigned int)c->nstreams;
	if (!has_room(h))
		origin_busy(o);
	else if ((!o->idle || ended) && !origin_idle(o))
		h->draining = true;
	if (o->active > 0)
		due_drop(&o->due);
	else if (h->draining || c->goaway)
		h2conn_end(c, NGHTTP2_NO_ERROR);
}

static void settle(struct h2b *h)
{
	struct origin *o = &h->origin;

	if (!o->coming)
		return;
	due_drop(&h->settle);
	o->coming = false;
	on_changed(&h->h2);
	origin_settled(o);
}

/* In a turn of its own, outside of nghttp2: who waits for it begins streams. */
static void on_settled(struct turn_item *i)
{
	settle(container_of(i, struct h2b, settled));
}

static void on_settle_due(struct due *d)
{
	settle(container_of(d, struct h2b, settle));
}

/* --- what the exchange says --- */

static void on_head(void *side, struct httpmsg *m, bool end)
{
	struct h2stream *s = side;
	nghttp2_data_provider source = h2stream_source(s);
	struct h2head_out head;

	if (!s->conn)
		return;
	s->id = h2head_write(m, H2HEAD_HEAD, &head) < 0 ? -1
			: nghttp2_submit_request(s->conn->session, NULL, head.nv, head.n, end ? NULL : &source, s);
	s->unsent = s->id < 0;
	s->conn->heard = false;
	h2conn_kick(s->conn);
}

static const struct exchange_ops exchange_ops = {
	.head = on_head,
	.data = h2stream_data,
	.end = h2stream_end,
	.resume = h2stream_resume,
	.closed = h2stream_closed,
};

/* --- what the origin sends --- */

static void on_answer(struct h2stream *s, bool end, const struct httpmsg_refusal *why)
{
	struct exchange *x = s->x;

	if (!x)
		return;
	if (why || (end && s->msg.status < 200)) {
		s->x = NULL;
		exchange_abort(x, EXCHANGE_BACK, EXCHANGE_PROTOCOL);
		h2stream_reset(s, NGHTTP2_PROTOCOL_ERROR);
		return;
	}
	exchange_head(x, EXCHANGE_BACK, &s->msg, end);
}

static void on_over(struct h2conn *c)
{
	struct h2b *h = container_of(c, struct h2b, h2);

	due_drop(&h->settle);
	turn_drop(&h->settled);
	origin_done(&h->origin);
	h2conn_done(&h->h2);
	free(h);
}

static const struct h2conn_ops h2_ops = { .head = on_answer, .changed = on_changed, .over = on_over };

/* --- life --- */

static int h2b_open(struct origin *o, struct exchange *x, const struct exchange_ops **ret_ops, void **ret_side)
{
	struct h2b *h = container_of(o, struct h2b, origin);
	struct h2stream *s = has_room(h) ? h2stream_new(&h->h2) : NULL;

	if (!s)
		return -EBUSY;
	s->x = x;
	*ret_ops = &exchange_ops;
	*ret_side = s;
	on_changed(&h->h2);
	return 0;
}

static void h2b_close(struct origin *o)
{
	h2conn_break(&container_of(o, struct h2b, origin)->h2);
}

static const struct origin_class h2b_class = { .open = h2b_open, .close = h2b_close };

struct origin *h2b_new(struct pool *p, struct chan *c, struct dues *dues)
{
	struct h2b *h = calloc(1, sizeof(*h));

	if (!h || h2conn_init(&h->h2, EXCHANGE_BACK, &h2_ops, c, dues) < 0) {
		if (!h)
			chan_free(c);
		free(h);
		return NULL;
	}
	origin_init(&h->origin, &h2b_class, p);
	h->origin.coming = true;
	h->settled.run = on_settled;
	h->settle.over = on_settle_due;
	due_set(dues, &h->settle, SETTLE_MS);
	h2conn_start(&h->h2);
	return &h->origin;
}
