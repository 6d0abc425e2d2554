/* SPDX-License-Identifier: Apache-2.0
 *
 * h2f: see h2f.h.
 */
#include "proxy/h2f.h"

#include <errno.h>
#include <stdlib.h>

#include "proxy/h2conn.h"
#include "proxy/intercept.h"

struct h2f {
	struct intercept_conn conn;
	struct exchange_env env;
	struct h2conn h2;
	struct due due;
	bool timing_head; /* due is that of a header block */
};

/* --- what the exchange says --- */

static void on_head(void *side, struct httpmsg *m, bool end)
{
	struct h2stream *s = side;
	nghttp2_data_provider source = h2stream_source(s);
	struct h2head_out head;
	int r;

	if (!s->conn || s->mute)
		return;
	if (h2head_write(m, H2HEAD_HEAD, &head) < 0) {
		h2stream_reset(s, NGHTTP2_INTERNAL_ERROR);
		return;
	}
	if (m->status < 200)
		r = nghttp2_submit_headers(s->conn->session, NGHTTP2_FLAG_NONE, s->id, NULL, head.nv, head.n, NULL);
	else
		r = nghttp2_submit_response(s->conn->session, s->id, head.nv, head.n, end ? NULL : &source);
	if (r < 0)
		h2stream_reset(s, NGHTTP2_INTERNAL_ERROR);
	h2conn_kick(s->conn);
}

static const struct exchange_ops exchange_ops = {
	.head = on_head,
	.data = h2stream_data,
	.end = h2stream_end,
	.resume = h2stream_resume,
	.closed = h2stream_closed,
};

/* --- what the guest sends --- */

static void on_request(struct h2stream *s, bool end, const struct httpmsg_refusal *why)
{
	struct h2f *h = container_of(s->conn, struct h2f, h2);

	s->x = exchange_new(&h->env, &exchange_ops, s);
	if (!s->x) {
		h2stream_reset(s, NGHTTP2_INTERNAL_ERROR);
	} else if (why && why->status == 400) {
		s->mute = true;
		exchange_reject(s->x, 400, why->reason);
		h2stream_reset(s, NGHTTP2_PROTOCOL_ERROR);
	} else if (why) {
		exchange_reject(s->x, why->status, why->reason);
	} else if (s->msg.method_id == HTTPMSG_CONNECT) {
		exchange_reject(s->x, 501, "CONNECT inside a connection");
	} else {
		exchange_head(s->x, EXCHANGE_FRONT, &s->msg, end);
	}
}

static void on_changed(struct h2conn *c)
{
	struct h2f *h = container_of(c, struct h2f, h2);
	struct dues *dues = intercept_dues(h->conn.intercept);

	if (c->head_open) {
		if (!h->timing_head)
			due_set(dues, &h->due, H2F_HEAD_MS);
	} else if (c->nstreams == 0) {
		due_set(dues, &h->due, H2F_IDLE_MS);
	} else {
		due_drop(&h->due);
	}
	h->timing_head = c->head_open;
}

static void on_over(struct h2conn *c)
{
	struct h2f *h = container_of(c, struct h2f, h2);

	intercept_conn_remove(&h->conn);
	due_drop(&h->due);
	h2conn_done(&h->h2);
	free(h->env.refusal);
	free(h);
}

static const struct h2conn_ops h2_ops = { .head = on_request, .changed = on_changed, .over = on_over };

static void on_due(struct due *d)
{
	struct h2f *h = container_of(d, struct h2f, due);

	h2conn_end(&h->h2, NGHTTP2_NO_ERROR);
}

static void on_cut(struct intercept_conn *conn)
{
	h2conn_break(&container_of(conn, struct h2f, conn)->h2);
}

int h2f_start(struct intercept *i, struct chan *c, const struct exchange_env *env)
{
	struct h2f *h = calloc(1, sizeof(*h));

	if (!h || h2conn_init(&h->h2, EXCHANGE_FRONT, &h2_ops, c, intercept_dues(i)) < 0) {
		if (!h)
			chan_free(c);
		free(env->refusal);
		free(h);
		return -ENOMEM;
	}
	h->env = *env;
	h->due.over = on_due;
	intercept_conn_add(i, &h->conn, env->refusal != NULL, on_cut);
	on_changed(&h->h2);
	h2conn_start(&h->h2);
	return 0;
}
