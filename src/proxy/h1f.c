/* SPDX-License-Identifier: Apache-2.0
 *
 * h1f: see h1f.h.
 */
#include "proxy/h1f.h"

#include <errno.h>
#include <stdlib.h>

#include "proxy/due.h"
#include "proxy/h1.h"
#include "proxy/intercept.h"

enum state {
	HEAD, /* reads a request's head, or waits for one */
	BODY, /* reads its body */
	WAIT, /* it is read; nothing more is, until the exchange is over */
	RAW,  /* after a 101 */
};

struct h1f {
	struct intercept_conn conn;
	struct exchange_env env;
	struct chan *chan;  /* owned */
	struct exchange *x; /* NULL: none */
	enum state state;
	struct h1_in in;
	struct h1_out out;
	struct turn_item flush; /* a head that no body byte has followed yet */
	struct due due;         /* of a request's head, of the next request */
	bool final;             /* the final head was given */
	bool close;             /* no request follows */
	bool old_client;        /* HTTP/1.0 */
	bool peer_ended;
	bool broken;            /* what is to be written cannot be */
};

static void h1f_free(struct h1f *h)
{
	intercept_conn_remove(&h->conn);
	due_drop(&h->due);
	turn_drop(&h->flush);
	httpmsg_done(&h->in.msg);
	h1_out_done(&h->out);
	chan_free(h->chan);
	free(h->env.refusal);
	free(h);
}

/* In order: what was written goes out. */
static void hang_up(struct h1f *h)
{
	chan_close(TAKE_PTR(h->chan));
	h1f_free(h);
}

/* The end of a connection whose exchange, where there is one, still owes nothing that matters. */
static void break_off(struct h1f *h, enum exchange_fault fault)
{
	struct exchange *x = TAKE_PTR(h->x);

	if (x)
		exchange_abort(x, EXCHANGE_FRONT, fault);
	h1f_free(h);
}

static void expect_head(struct h1f *h)
{
	h->state = HEAD;
	h->final = false;
	httphead_init(&h->in.head, &h->in.msg, h->env.dest.scheme);
	due_set(intercept_dues(h->conn.intercept), &h->due, H1F_IDLE_MS);
}

/* --- what the exchange says --- */

static int write_head(struct h1f *h, struct httpmsg *m, bool end)
{
	const struct httpmsg *req = exchange_request(h->x);

	if (m->status >= 200) {
		httpmsg_frame_for(m, req);
		if (h->close)
			m->close = true;
		h->close = m->close;
		h->final = true;
	}
	if (httphead_write_response(&h->out.pending, m) < 0)
		return -EMSGSIZE;
	h1_out_body(&h->out, m->status < 200 || end ? HTTPMSG_BODY_NONE : m->body, m->length);
	return 0;
}

/* Nothing more can be written; the exchange cannot be left from within its own call. */
static void fail_write(struct h1f *h)
{
	h->broken = true;
	turn_post(h->chan->turn, &h->flush);
}

static void on_head(void *side, struct httpmsg *m, bool end)
{
	struct h1f *h = side;

	if (m->status < 200 && m->status != 101 && h->old_client)
		return;
	if (write_head(h, m, end) < 0) {
		fail_write(h);
		return;
	}
	if (m->status == 101) {
		h->state = RAW;
		chan_resume(h->chan);
	}
	/* The first bytes of the body mostly come in the same turn, and go out with the head. */
	turn_post(h->chan->turn, &h->flush);
}

static void on_flush(struct turn_item *i)
{
	struct h1f *h = container_of(i, struct h1f, flush);

	if (h->broken)
		break_off(h, EXCHANGE_GONE);
	else
		(void)h1_out_flush(&h->out);
}

static size_t on_data(void *side, const uint8_t *bytes, size_t n)
{
	struct h1f *h = side;
	long r = h->broken ? (long)n : h1_out_data(&h->out, bytes, n);

	if (r < 0)
		fail_write(h);
	return r < 0 ? n : (size_t)r;
}

static void on_end(void *side, struct httpmsg *trailers)
{
	struct h1f *h = side;

	if (h->state == RAW)
		chan_shutdown(h->chan);
	else if (h1_out_end(&h->out) < 0)
		fail_write(h);
}

static void on_resume(void *side)
{
	struct h1f *h = side;

	chan_resume(h->chan);
}

static void on_closed(void *side, enum exchange_how how)
{
	struct h1f *h = side;

	h->x = NULL;
	if (how == EXCHANGE_CUT || how == EXCHANGE_MISUSED || h->broken) {
		h1f_free(h);
		return;
	}
	turn_drop(&h->flush);
	if (!h1_out_flush(&h->out) || how == EXCHANGE_UNREAD || h->close || h->state == RAW || h->peer_ended) {
		/* What is left is less than the window: the chan has room for it unless it failed. */
		hang_up(h);
		return;
	}
	expect_head(h);
	chan_resume(h->chan);
}

static const struct exchange_ops exchange_ops = {
	.head = on_head,
	.data = on_data,
	.end = on_end,
	.resume = on_resume,
	.closed = on_closed,
};

/* --- what the guest sends --- */

static bool begin(struct h1f *h)
{
	if (!h->x)
		h->x = exchange_new(&h->env, &exchange_ops, h);
	due_drop(&h->due);
	return h->x != NULL;
}

/* An answer to what is no request; the connection ends with it. */
static void reject(struct h1f *h, int status, const char *why)
{
	h->state = WAIT;
	h->close = true;
	if (!begin(h)) {
		h1f_free(h);
		return;
	}
	exchange_reject(h->x, status, why);
}

/* Whether a body is broken as far as it came together with its head: then nobody needs to hear of the request at all. */
static bool is_broken(struct httpbody body, const uint8_t *bytes, size_t n)
{
	struct httpbody_piece piece;

	while (n > 0 && !body.done) {
		long r = httpbody_feed(&body, bytes, n, &piece);

		if (r < 0)
			return true;
		bytes += r;
		n -= (size_t)r;
	}
	return false;
}

static size_t read_head(struct h1f *h, const uint8_t *bytes, size_t n)
{
	struct httpmsg_refusal why = { 0 };
	bool started = httphead_is_started(&h->in.head), end;
	long r = httphead_feed(&h->in.head, bytes, n, &why);

	if (r < 0) {
		reject(h, r == -ENOMEM ? 431 : why.status, r == -ENOMEM ? "out of memory" : why.reason);
		return n;
	}
	if (!h->in.head.done) {
		if (!started)
			due_set(intercept_dues(h->conn.intercept), &h->due, H1F_HEAD_MS);
		return (size_t)r;
	}
	if (!begin(h)) {
		h1f_free(h);
		return n;
	}
	h->old_client = h->in.msg.version == HTTPMSG_1_0;
	h->close = h->in.msg.close;
	h1_in_body_begin(&h->in);
	if (h->in.body.kind == HTTPMSG_BODY_CHUNKED && is_broken(h->in.body, bytes + r, n - (size_t)r)) {
		reject(h, 400, "the body's chunks are broken");
		return n;
	}
	end = h->in.body.done;
	h->state = end ? WAIT : BODY;
	exchange_head(h->x, EXCHANGE_FRONT, &h->in.msg, end);
	return (size_t)r;
}

/* -1: h is gone. */
static long read_body(struct h1f *h, const uint8_t *bytes, size_t n)
{
	long r = h1_in_body(&h->in, h->x, EXCHANGE_FRONT, bytes, n);

	if (r < 0) {
		break_off(h, EXCHANGE_PROTOCOL);
		return -1;
	}
	if (h1_in_body_done(&h->in) && h->state == BODY) {
		h->state = WAIT;
		exchange_end(h->x, EXCHANGE_FRONT, NULL);
	}
	return r;
}

static size_t on_bytes(void *owner, struct chan *c, const uint8_t *bytes, size_t n)
{
	struct h1f *h = owner;
	size_t used = 0;

	if (h->state == HEAD) {
		used = read_head(h, bytes, n);
		if (used == n)
			return n;
	}
	if (h->state == BODY) {
		long r = read_body(h, bytes + used, n - used);

		return r < 0 ? n : used + (size_t)r;
	}
	if (h->state == RAW)
		used += exchange_data(h->x, EXCHANGE_FRONT, bytes + used, n - used);
	return used;
}

static void on_eof(void *owner, struct chan *c)
{
	struct h1f *h = owner;

	h->peer_ended = true;
	if (h->state == HEAD && !httphead_is_started(&h->in.head))
		hang_up(h);
	else if (h->state == HEAD)
		h1f_free(h);
	else if (h->state == BODY)
		break_off(h, EXCHANGE_GONE);
	else if (h->state == RAW)
		exchange_end(h->x, EXCHANGE_FRONT, NULL);
}

static void on_writable(void *owner, struct chan *c)
{
	struct h1f *h = owner;

	if (h1_out_flush(&h->out) && h->x && h1_out_has_room(&h->out))
		exchange_writable(h->x, EXCHANGE_FRONT);
}

static void on_chan_closed(void *owner, struct chan *c, int error)
{
	break_off(owner, EXCHANGE_GONE);
}

static const struct chan_ops chan_ops = {
	.bytes = on_bytes,
	.eof = on_eof,
	.writable = on_writable,
	.closed = on_chan_closed,
};

static void on_due(struct due *d)
{
	struct h1f *h = container_of(d, struct h1f, due);

	if (h->state == HEAD && httphead_is_started(&h->in.head))
		reject(h, 408, "the request's head did not come in time");
	else
		hang_up(h);
}

static void on_cut(struct intercept_conn *conn)
{
	break_off(container_of(conn, struct h1f, conn), EXCHANGE_GONE);
}

int h1f_start(struct intercept *i, struct chan *c, const struct exchange_env *env)
{
	struct h1f *h = calloc(1, sizeof(*h));

	if (!h) {
		chan_free(c);
		free(env->refusal);
		return -ENOMEM;
	}
	h->env = *env;
	h->chan = c;
	h->due.over = on_due;
	h->flush.run = on_flush;
	httpmsg_init(&h->in.msg, HTTPMSG_REQUEST);
	h1_out_init(&h->out, c);
	intercept_conn_add(i, &h->conn, env->refusal != NULL, on_cut);
	expect_head(h);
	chan_own(c, &chan_ops, h);
	chan_resume(c);
	return 0;
}
