/* SPDX-License-Identifier: Apache-2.0
 *
 * h2conn: see h2conn.h. nghttp2 is entered at two places only, receive and flush, both from the loop; everything that an exchange calls
 * meanwhile only submits. So no stream is freed under an exchange that is calling it.
 */
#include "proxy/h2conn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/log.h"

#define CONNECTION_WINDOW (16 * 1024 * 1024)
#define SEND_HEAD_MAX (512U << 10)
#define FIRST_UNKNOWN_TYPE 0x0a /* RFC 9113, section 6 has ten */

/* What a client may do at once, and what it may do per second after that. A browser that leaves a page resets some dozens of
 * streams; a download acknowledges by WINDOW_UPDATE, which its DATA pay for. */
#define RESETS_BURST 200
#define RESETS_PER_S 50
#define NOISE_BURST 2000
#define NOISE_PER_S 200
#define NOISE_PER_DATA 2

/* --- floods --- */

/* false: it is used up. */
static bool calm_spend(struct h2conn_calm *a, int32_t cost, int32_t burst, int32_t per_s)
{
	uint64_t now = io_now_ms(), gained = (now - a->at_ms) * (uint64_t)per_s / 1000;

	if (gained > 0) {
		a->left = gained > (uint64_t)(burst - a->left) ? burst : a->left + (int32_t)gained;
		a->at_ms = now;
	}
	a->left -= cost;
	return a->left >= 0;
}

static void earn(struct h2conn *c)
{
	c->noise.left = c->noise.left > NOISE_BURST - NOISE_PER_DATA ? NOISE_BURST : c->noise.left + NOISE_PER_DATA;
}

static void spend_noise(struct h2conn *c, int32_t cost)
{
	if (!calm_spend(&c->noise, cost, NOISE_BURST, NOISE_PER_S) && !c->ending) {
		log_info("event=h2_flood kind=noise side=%s", c->side == EXCHANGE_FRONT ? "guest" : "origin");
		h2conn_end(c, NGHTTP2_ENHANCE_YOUR_CALM);
	}
}

static void spend_reset(struct h2conn *c)
{
	if (!calm_spend(&c->resets, 1, RESETS_BURST, RESETS_PER_S) && !c->ending) {
		log_info("event=h2_flood kind=resets side=%s", c->side == EXCHANGE_FRONT ? "guest" : "origin");
		h2conn_end(c, NGHTTP2_ENHANCE_YOUR_CALM);
	}
}

/* --- streams --- */

/* Of all connections: the guest may have 1,024 of them, and each could hold what its streams may. */
static size_t front_streams;
static size_t grown;

static struct h2stream *find(nghttp2_session *session, int32_t id)
{
	return id > 0 ? nghttp2_session_get_stream_user_data(session, id) : NULL;
}

struct h2stream *h2stream_new(struct h2conn *c)
{
	struct h2stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	front_streams += c->side == EXCHANGE_FRONT;
	s->conn = c;
	s->window = H2CONN_WINDOW_FIRST;
	httpmsg_init(&s->msg, c->side == EXCHANGE_FRONT ? HTTPMSG_REQUEST : HTTPMSG_RESPONSE);
	httpmsg_init(&s->trailers, s->msg.kind);
	buf_init(&s->in, H2CONN_WINDOW_MAX);
	buf_init(&s->out, H2CONN_OUT);
	TAILQ_INSERT_TAIL(&c->streams, s, link);
	c->nstreams++;
	return s;
}

static void forget(struct h2stream *s)
{
	struct h2conn *c = s->conn;

	if (!c)
		return;
	s->conn = NULL;
	if (s->id > 0)
		(void)nghttp2_session_set_stream_user_data(c->session, s->id, NULL);
	TAILQ_REMOVE(&c->streams, s, link);
	c->nstreams--;
}

static void stream_free(struct h2stream *s)
{
	front_streams -= s->msg.kind == HTTPMSG_REQUEST;
	grown -= s->window - H2CONN_WINDOW_FIRST;
	forget(s);
	if (s->in_head)
		h2head_done(&s->head);
	httpmsg_done(&s->msg);
	httpmsg_done(&s->trailers);
	buf_done(&s->in);
	buf_done(&s->out);
	free(s);
}

/* The connection has nothing to do with it any more. What came completely is still given. */
static void stream_leave(struct h2stream *s, enum exchange_fault fault)
{
	struct exchange *x = s->x;

	if (x && s->in_ended && s->has_head && !s->in_told && s->conn->side == EXCHANGE_BACK) {
		forget(s);
		return;
	}
	s->x = NULL;
	if (x)
		exchange_abort(x, s->conn->side, fault);
	stream_free(s);
}

void h2stream_reset(struct h2stream *s, uint32_t code)
{
	if (!s->conn || s->id <= 0)
		return;
	(void)nghttp2_submit_rst_stream(s->conn->session, NGHTTP2_FLAG_NONE, s->id, code);
	h2conn_kick(s->conn);
}

/* --- from the peer to the exchange --- */

/* The window, and more of it for one whose bytes do not wait. */
static void took(struct h2stream *s, size_t n)
{
	struct h2conn *c = s->conn;

	s->taken += n;
	if (!c || n == 0)
		return;
	(void)nghttp2_session_consume_stream(c->session, s->id, n);
	/* More than what the other side may hold for itself. */
	if (!s->in_ended && buf_len(&s->in) == 0 && s->taken >= 2 * (uint64_t)s->window + H2CONN_OUT &&
	    s->window < H2CONN_WINDOW_MAX && grown + 3 * (size_t)s->window <= H2CONN_GROWN_MAX) {
		grown += 3 * (size_t)s->window;
		s->window *= 4;
		(void)nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, s->id, (int32_t)s->window);
	}
	h2conn_kick(c);
}

static enum exchange_side side_of(const struct h2stream *s)
{
	return s->msg.kind == HTTPMSG_REQUEST ? EXCHANGE_FRONT : EXCHANGE_BACK;
}

static void tell_end(struct h2stream *s)
{
	if (!s->x || !s->in_ended || s->in_told || buf_len(&s->in) > 0)
		return;
	s->in_told = true;
	exchange_end(s->x, side_of(s), s->has_trailers ? &s->msg : NULL);
}

/* What is kept, until the exchange takes less than offered. It may ask for more from within. */
static void offer(struct h2stream *s)
{
	if (s->offering) {
		s->again = true;
		return;
	}
	s->offering = true;
	do {
		size_t n = buf_len(&s->in), got;

		s->again = false;
		got = n > 0 && s->x ? exchange_data(s->x, side_of(s), buf_bytes(&s->in), n) : 0;
		buf_consume(&s->in, got);
		took(s, got);
	} while (s->again && buf_len(&s->in) > 0 && s->x);
	s->offering = false;
	if (buf_len(&s->in) == 0)
		buf_done(&s->in);
	tell_end(s);
}

void h2stream_resume(void *side)
{
	offer(side);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n, void *user)
{
	struct h2conn *c = user;
	struct h2stream *s = find(session, id);
	size_t got = 0;

	(void)nghttp2_session_consume_connection(session, n);
	earn(c);
	if (!s || !s->x) {
		(void)nghttp2_session_consume_stream(session, id, n);
		return 0;
	}
	if (buf_len(&s->in) == 0 && !s->offering) {
		s->offering = true;
		s->again = false;
		got = exchange_data(s->x, side_of(s), bytes, n);
		s->offering = false;
		took(s, got);
	}
	/* What the exchange asked for meanwhile is what is left now. */
	if (got < n && buf_append(&s->in, bytes + got, n - got) < 0)
		h2stream_reset(s, NGHTTP2_INTERNAL_ERROR);
	else if (got < n && s->again)
		offer(s);
	return 0;
}

/* --- from the exchange to the peer --- */

void h2conn_kick(struct h2conn *c)
{
	turn_post(c->chan->turn, &c->flush);
}

static void wake(struct h2stream *s)
{
	if (s->deferred && s->id > 0) {
		s->deferred = false;
		(void)nghttp2_session_resume_data(s->conn->session, s->id);
	}
	h2conn_kick(s->conn);
}

size_t h2stream_data(void *side, const uint8_t *bytes, size_t n)
{
	struct h2stream *s = side;
	size_t room = buf_room(&s->out), take = n < room ? n : room;

	if (!s->conn || s->mute)
		return n;
	if (take > 0 && buf_append(&s->out, bytes, take) < 0) {
		h2stream_reset(s, NGHTTP2_INTERNAL_ERROR);
		return n;
	}
	s->blocked = take < n;
	if (take > 0)
		wake(s);
	return take;
}

void h2stream_end(void *side, struct httpmsg *trailers)
{
	struct h2stream *s = side;

	if (!s->conn || s->mute)
		return;
	if (trailers && trailers->nentries > 0) {
		httpmsg_done(&s->trailers);
		s->trailers = *trailers;
		s->out_trailers = true;
		httpmsg_init(trailers, s->trailers.kind);
	}
	s->out_ended = true;
	wake(s);
}

static void end_out(struct h2stream *s, nghttp2_session *session, uint32_t *flags)
{
	struct h2head_out head;

	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (s->out_trailers && h2head_write(&s->trailers, H2HEAD_TRAILERS, &head) == 0 &&
	    nghttp2_submit_trailer(session, s->id, head.nv, head.n) == 0)
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
}

static ssize_t read_out(nghttp2_session *session, int32_t id, uint8_t *dst, size_t size, uint32_t *flags,
			nghttp2_data_source *source, void *user)
{
	struct h2stream *s = source->ptr;
	size_t n = buf_len(&s->out) < size ? buf_len(&s->out) : size;

	memcpy(dst, buf_bytes(&s->out), n);
	buf_consume(&s->out, n);
	if (s->blocked && buf_len(&s->out) <= H2CONN_OUT / 2) {
		s->blocked = false;
		s->room_again = true;
	}
	if (buf_len(&s->out) == 0 && s->out_ended) {
		end_out(s, session, flags);
		return (ssize_t)n;
	}
	if (n == 0) {
		s->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	return (ssize_t)n;
}

nghttp2_data_provider h2stream_source(struct h2stream *s)
{
	return (nghttp2_data_provider){ .source.ptr = s, .read_callback = read_out };
}

void h2stream_closed(void *side, enum exchange_how how)
{
	struct h2stream *s = side;
	bool front = side_of(s) == EXCHANGE_FRONT;

	s->x = NULL;
	if (!s->conn) {
		stream_free(s);
		return;
	}
	if (s->id <= 0 || s->unsent) {
		struct h2conn *c = s->conn;

		stream_free(s);
		c->ops->changed(c);
		return;
	}
	if (how == EXCHANGE_UNREAD && front) {
		s->reset_after = true;
		if (s->sent_all)
			h2stream_reset(s, NGHTTP2_NO_ERROR);
	} else if (how != EXCHANGE_DONE) {
		h2stream_reset(s, !front			   ? NGHTTP2_CANCEL
				  : how == EXCHANGE_MISUSED || s->mute ? NGHTTP2_PROTOCOL_ERROR
								       : NGHTTP2_INTERNAL_ERROR);
	}
}

/* --- header blocks --- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct h2conn *c = user;
	bool request = c->side == EXCHANGE_FRONT && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
	struct h2stream *s;

	if (frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	if (request && front_streams >= H2CONN_FRONT_MAX)
		return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM) == 0
			       ? 0
			       : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	s = request ? h2stream_new(c) : find(session, frame->hd.stream_id);
	if (!s)
		return request ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
	if (request) {
		s->id = frame->hd.stream_id;
		(void)nghttp2_session_set_stream_user_data(session, s->id, s);
	} else if (!s->x || s->in_head) {
		return 0;
	}
	h2head_init(&s->head, &s->msg, s->has_head ? H2HEAD_TRAILERS : H2HEAD_HEAD, c->scheme);
	if (c->side == EXCHANGE_BACK && !s->has_head)
		httpmsg_answers(&s->msg, exchange_request(s->x));
	s->in_head = true;
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
		     const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
	struct h2conn *c = user;
	struct h2stream *s = find(session, frame->hd.stream_id);

	if (!s || !s->in_head || c->ending)
		return 0;
	h2head_field(&s->head, name, name_n, value, value_n);
	if (s->head.bytes <= H2CONN_HEAD_BYTES_MAX)
		return 0;
	log_info("event=h2_flood kind=head side=%s", c->side == EXCHANGE_FRONT ? "guest" : "origin");
	h2conn_end(c, NGHTTP2_ENHANCE_YOUR_CALM);
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* What nghttp2 would leave out is what a message must not have. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
			     const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
	struct h2stream *s = find(session, frame->hd.stream_id);

	if (s && s->in_head)
		h2head_malformed(&s->head, "a field that is not allowed");
	return 0;
}

static void head_done(struct h2conn *c, struct h2stream *s, bool end)
{
	struct httpmsg_refusal why = { 0 };
	bool trailers = s->has_head;
	int r = h2head_end(&s->head, end, &why);

	h2head_done(&s->head);
	s->in_head = false;
	s->answered = true;
	if (!trailers) {
		s->has_head = c->side == EXCHANGE_FRONT || s->msg.status >= 200;
		s->in_ended = s->in_told = end && s->has_head;
		c->ops->head(s, end, r < 0 ? &why : NULL);
	} else if (r < 0) {
		h2stream_reset(s, NGHTTP2_PROTOCOL_ERROR);
	} else {
		s->has_trailers = true;
	}
}

/* A block that nghttp2 refused, and for which it resets the stream: told to the exchange, so that it is logged. */
static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user)
{
	struct h2conn *c = user;
	struct h2stream *s = find(session, frame->hd.stream_id);

	if (frame->hd.type == NGHTTP2_HEADERS)
		c->head_open = false;
	if (s && s->in_head) {
		h2head_malformed(&s->head, "a head that HTTP/2 does not allow");
		head_done(c, s, false);
	}
	c->ops->changed(c);
	return 0;
}

/* --- frames --- */

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user)
{
	struct h2conn *c = user;

	c->heard = true;
	switch (hd->type) {
	case NGHTTP2_HEADERS:
		c->head_open = true;
		c->ops->changed(c);
		break;
	case NGHTTP2_CONTINUATION:
		break;
	case NGHTTP2_DATA:
		if (hd->length == 0 && !(hd->flags & NGHTTP2_FLAG_END_STREAM))
			spend_noise(c, 4);
		break;
	case NGHTTP2_RST_STREAM:
		spend_reset(c);
		break;
	case NGHTTP2_SETTINGS:
		spend_noise(c, hd->flags & NGHTTP2_FLAG_ACK ? 1 : 20);
		break;
	case NGHTTP2_WINDOW_UPDATE:
		spend_noise(c, 1);
		break;
	default:
		spend_noise(c, 2);
	}
	return 0;
}

/* A frame of a type that we do not know; it was counted, and that is all. */
static int on_unknown(nghttp2_session *session, void **ret, const nghttp2_frame_hd *hd, void *user)
{
	return NGHTTP2_ERR_CANCEL;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct h2conn *c = user;
	struct h2stream *s = find(session, frame->hd.stream_id);
	bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

	if (frame->hd.type == NGHTTP2_GOAWAY) {
		c->goaway = true;
		c->ops->changed(c);
		return 0;
	}
	if (frame->hd.type == NGHTTP2_SETTINGS && c->side == EXCHANGE_BACK && !(frame->hd.flags & NGHTTP2_FLAG_ACK)) {
		c->settled = true;
		c->ops->changed(c);
	}
	if (frame->hd.type == NGHTTP2_HEADERS) {
		c->head_open = false;
		if (s && s->in_head)
			head_done(c, s, end);
		c->ops->changed(c);
	}
	s = find(session, frame->hd.stream_id);
	if (s && end && (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) && !s->in_ended) {
		s->in_ended = true;
		tell_end(s);
	}
	return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct h2conn *c = user;
	struct h2stream *s = find(session, frame->hd.stream_id);

	if (frame->hd.type == NGHTTP2_DATA)
		earn(c);
	/* What a client makes us reset costs us as much as what it resets itself. */
	if (frame->hd.type == NGHTTP2_RST_STREAM && c->side == EXCHANGE_FRONT &&
	    frame->rst_stream.error_code != NGHTTP2_NO_ERROR)
		spend_reset(c);
	if (s && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
	    (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS)) {
		s->sent_all = true;
		if (s->reset_after && !s->in_ended)
			h2stream_reset(s, NGHTTP2_NO_ERROR);
	}
	return 0;
}

/* A request that will not be sent: the peer's GOAWAY came first, or it was given up. */
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user)
{
	struct h2conn *c = user;
	struct h2stream *s;

	if (frame->hd.type != NGHTTP2_HEADERS || c->side != EXCHANGE_BACK)
		return 0;
	TAILQ_FOREACH(s, &c->streams, link)
		if (s->id == frame->hd.stream_id)
			s->unsent = true;
	h2conn_kick(c);
	return 0;
}

static enum exchange_fault fault_of(const struct h2conn *c, uint32_t error)
{
	if (c->side == EXCHANGE_BACK)
		return error == NGHTTP2_REFUSED_STREAM ? EXCHANGE_REFUSED
		       : error == NGHTTP2_PROTOCOL_ERROR ? EXCHANGE_PROTOCOL
							 : EXCHANGE_GONE;
	return error == NGHTTP2_PROTOCOL_ERROR ? EXCHANGE_PROTOCOL : EXCHANGE_GONE;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
	struct h2conn *c = user;
	struct h2stream *s = find(session, id);

	if (!s)
		return 0;
	stream_leave(s, fault_of(c, error));
	c->ops->changed(c);
	return 0;
}

/* --- the connection --- */

static void leave_all(struct h2conn *c, enum exchange_fault fault)
{
	struct h2stream *s;

	while ((s = TAILQ_FIRST(&c->streams)))
		stream_leave(s, fault);
}

void h2conn_break(struct h2conn *c)
{
	/* Nothing came since the last request was sent: it was not touched, or will look so. */
	bool untouched = c->side == EXCHANGE_BACK && !c->heard;

	assert(!c->busy);
	leave_all(c, untouched ? EXCHANGE_UNTOUCHED : EXCHANGE_GONE);
	c->ops->over(c);
}

void h2conn_end(struct h2conn *c, uint32_t code)
{
	if (c->ending)
		return;
	c->ending = true;
	(void)nghttp2_session_terminate_session(c->session, code);
	due_set(c->dues, &c->end, H2CONN_END_MS);
	h2conn_kick(c);
	/* The pool must not give it out any more. */
	if (c->side == EXCHANGE_BACK)
		c->ops->changed(c);
}

static void on_end_due(struct due *d)
{
	h2conn_break(container_of(d, struct h2conn, end));
}

/* As much as the chan takes. false: the session has failed. */
static bool write_out(struct h2conn *c)
{
	for (;;) {
		size_t n;

		if (c->out_n == 0) {
			ssize_t r = nghttp2_session_mem_send(c->session, &c->out);

			if (r <= 0)
				return r == 0;
			c->out_n = (size_t)r;
		}
		n = chan_write(c->chan, c->out, c->out_n);
		c->out += n;
		c->out_n -= n;
		if (c->out_n > 0)
			return true;
	}
}

static void tell_room(struct h2conn *c)
{
	struct h2stream *s, *next;

	for (s = TAILQ_FIRST(&c->streams); s; s = next) {
		next = TAILQ_NEXT(s, link);
		if (s->unsent) {
			stream_leave(s, EXCHANGE_REFUSED);
			c->ops->changed(c);
		} else if (s->room_again) {
			s->room_again = false;
			if (s->x)
				exchange_writable(s->x, c->side);
		}
	}
}

static bool is_over(const struct h2conn *c)
{
	return c->out_n == 0 && !nghttp2_session_want_write(c->session) &&
	       (c->ending || !nghttp2_session_want_read(c->session));
}

static void flush(struct h2conn *c)
{
	bool good;

	c->busy = true;
	good = write_out(c);
	c->busy = false;
	if (good && !is_over(c)) {
		tell_room(c);
		return;
	}
	if (good) {
		/* In order: what was said is sent. */
		leave_all(c, EXCHANGE_GONE);
		chan_close(TAKE_PTR(c->chan));
	}
	h2conn_break(c);
}

static void on_flush(struct turn_item *i)
{
	flush(container_of(i, struct h2conn, flush));
}

static size_t on_bytes(void *owner, struct chan *chan, const uint8_t *bytes, size_t n)
{
	struct h2conn *c = owner;
	ssize_t r;

	if (c->ending)
		return n;
	c->busy = true;
	r = nghttp2_session_mem_recv(c->session, bytes, n);
	c->busy = false;
	if (r == NGHTTP2_ERR_BAD_CLIENT_MAGIC || r == NGHTTP2_ERR_NOMEM || r == NGHTTP2_ERR_CALLBACK_FAILURE) {
		h2conn_break(c);
		return n;
	}
	/* Too many frames of one kind (CONTINUATION, replies that wait): the session stops, and may still say why. */
	if (r < 0)
		h2conn_end(c, NGHTTP2_ENHANCE_YOUR_CALM);
	h2conn_kick(c);
	return n;
}

static void on_eof(void *owner, struct chan *chan)
{
	h2conn_break(owner);
}

static void on_writable(void *owner, struct chan *chan)
{
	flush(owner);
}

static void on_chan_closed(void *owner, struct chan *chan, int error)
{
	h2conn_break(owner);
}

static const struct chan_ops chan_ops = {
	.bytes = on_bytes,
	.eof = on_eof,
	.writable = on_writable,
	.closed = on_chan_closed,
};

static int make_session(struct h2conn *c)
{
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *opt = NULL;
	bool server = c->side == EXCHANGE_FRONT;
	const nghttp2_settings_entry iv[] = {
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2CONN_WINDOW_FIRST },
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, H2CONN_STREAMS_MAX },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, server ? HTTPMSG_REQUEST_HEAD_MAX : HTTPMSG_RESPONSE_HEAD_MAX },
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
	};
	int r = -1;

	if (nghttp2_session_callbacks_new(&cb) != 0 || nghttp2_option_new(&opt) != 0)
		goto out;
	nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(cb, on_invalid_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, on_frame_not_send);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_session_callbacks_set_unpack_extension_callback(cb, on_unknown);
	for (unsigned int type = FIRST_UNKNOWN_TYPE; type <= UINT8_MAX; type++)
		nghttp2_option_set_user_recv_extension_type(opt, (uint8_t)type);
	nghttp2_option_set_no_auto_window_update(opt, 1);
	/* A client that goes on with a stream that has ended hears of it (RFC 9113, 5.1): at most H2CONN_STREAMS_MAX of them are kept in mind. */
	nghttp2_option_set_no_closed_streams(opt, !server);
	nghttp2_option_set_max_send_header_block_length(opt, SEND_HEAD_MAX);
	r = server ? nghttp2_session_server_new2(&c->session, cb, c, opt) : nghttp2_session_client_new2(&c->session, cb, c, opt);
	if (r == 0)
		r = nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, iv, server ? 3 : ARRAY_LEN(iv));
	if (r == 0)
		r = nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW);
out:
	nghttp2_option_del(opt);
	nghttp2_session_callbacks_del(cb);
	return r == 0 ? 0 : -ENOMEM;
}

int h2conn_init(struct h2conn *c, enum exchange_side side, const struct h2conn_ops *ops, struct chan *chan, struct dues *dues)
{
	uint64_t now = io_now_ms();

	*c = (struct h2conn){ .ops = ops, .side = side, .scheme = DEST_HTTPS, .chan = chan, .dues = dues };
	c->resets = (struct h2conn_calm){ now, RESETS_BURST };
	c->noise = (struct h2conn_calm){ now, NOISE_BURST };
	c->flush.run = on_flush;
	c->end.over = on_end_due;
	TAILQ_INIT(&c->streams);
	if (make_session(c) == 0)
		return 0;
	h2conn_done(c);
	return -ENOMEM;
}

void h2conn_start(struct h2conn *c)
{
	chan_own(c->chan, &chan_ops, c);
	chan_resume(c->chan);
	h2conn_kick(c);
}

void h2conn_done(struct h2conn *c)
{
	assert(TAILQ_EMPTY(&c->streams));
	due_drop(&c->end);
	turn_drop(&c->flush);
	nghttp2_session_del(c->session);
	c->session = NULL;
	chan_free(TAKE_PTR(c->chan));
}
