/* SPDX-License-Identifier: Apache-2.0
 *
 * h2: see h2.h. nghttp2 keeps the protocol; this file keeps, per stream, the bytes that wait for the peer's window
 * and how much of them is promised to nghttp2. Streams hang in a list so that freeing the session ends each of
 * them exactly once.
 */
#include "wire/h2.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/own.h"

/* One session carries many streams: its window must not be the bottleneck of them all. */
#define CONNECTION_WINDOW (16 * 1024 * 1024)
/* The longest DATA frame: each costs a write of its own. */
#define FRAME_BYTES (H2_PULL_MAX - 9)
/* A stream's reset is how a program's closed connection looks, so many of them are nothing bad; nghttp2 would end the session at
 * 33 a second. */
#define RESETS_BURST 20000
#define RESETS_PER_SECOND 5000

struct h2 {
	nghttp2_session *session; /* owned */
	const struct h2_ops *ops; /* borrowed for our life */
	void *user;
	enum h2_role role;
	bool freeing;
	struct h2_stream *streams; /* owned, doubly linked */
};

struct h2_stream {
	struct h2 *h2;
	struct h2_stream *prev, *next;
	void *user;
	int32_t id;
	struct buf out;
	bool announced;   /* the owner knows it: request or h2_request went through */
	bool shut;        /* END_STREAM follows the buffer */
	bool deferred;    /* nghttp2 waits for data */
	bool full;        /* h2_write took less than offered */
	int status;       /* client: the response's */
	struct h2_head head;
};

static ssize_t read_out(nghttp2_session *session, int32_t id, uint8_t *dst, size_t size, uint32_t *flags,
			      nghttp2_data_source *source, void *user);

static struct h2_stream *stream_new(struct h2 *h, int32_t id)
{
	struct h2_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->h2 = h;
	s->id = id;
	buf_init(&s->out, H2_STREAM_OUT);
	s->next = h->streams;
	if (s->next)
		s->next->prev = s;
	h->streams = s;
	return s;
}

static void stream_free(struct h2_stream *s)
{
	if (s->prev)
		s->prev->next = s->next;
	else
		s->h2->streams = s->next;
	if (s->next)
		s->next->prev = s->prev;
	buf_done(&s->out);
	free(s);
}

static void stream_close(struct h2_stream *s, uint32_t error)
{
	(void)nghttp2_session_set_stream_user_data(s->h2->session, s->id, NULL);
	if (s->announced && s->h2->ops->closed)
		s->h2->ops->closed(s->h2->user, s, error);
	stream_free(s);
}

static struct h2_stream *find(nghttp2_session *session, int32_t id)
{
	return nghttp2_session_get_stream_user_data(session, id);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct h2 *h = user;
	struct h2_stream *s;

	if (h->role != H2_SERVER || frame->hd.type != NGHTTP2_HEADERS ||
	    frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	s = stream_new(h, frame->hd.stream_id);
	if (!s)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	(void)nghttp2_session_set_stream_user_data(session, s->id, s);
	return 0;
}

/* A value that does not fit is as good as none: the request is refused by whoever looks at it. */
static void keep(char *dst, size_t size, const uint8_t *value, size_t n)
{
	if (n >= size || memchr(value, 0, n))
		return;
	memcpy(dst, value, n);
	dst[n] = 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
		     const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
	struct h2_stream *s = find(session, frame->hd.stream_id);
	char status[4] = "";

	if (!s)
		return 0;
	if (name_len == 7 && memcmp(name, ":method", 7) == 0)
		keep(s->head.method, sizeof(s->head.method), value, value_len);
	else if (name_len == 5 && memcmp(name, ":path", 5) == 0)
		keep(s->head.path, sizeof(s->head.path), value, value_len);
	else if (name_len == 10 && memcmp(name, ":authority", 10) == 0)
		keep(s->head.authority, sizeof(s->head.authority), value, value_len);
	else if (name_len == 7 && memcmp(name, ":status", 7) == 0) {
		keep(status, sizeof(status), value, value_len);
		s->status = status[2] ? (status[0] - '0') * 100 + (status[1] - '0') * 10 + (status[2] - '0') : 0;
	}
	return 0;
}

static void headers_done(struct h2 *h, struct h2_stream *s, const nghttp2_frame *frame)
{
	if (h->role == H2_SERVER && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
		s->announced = true;
		if (h->ops->request(h->user, s, &s->head) != 0) {
			s->announced = false;
			(void)nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_REFUSED_STREAM);
		}
	} else if (h->role == H2_CLIENT && frame->headers.cat == NGHTTP2_HCAT_RESPONSE && h->ops->response) {
		h->ops->response(h->user, s, s->status);
	}
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct h2 *h = user;
	struct h2_stream *s = frame->hd.stream_id ? find(session, frame->hd.stream_id) : NULL;

	if (!s)
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS)
		headers_done(h, s, frame);
	if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
	    (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
		s = find(session, frame->hd.stream_id);
		if (s && s->announced && h->ops->eof)
			h->ops->eof(h->user, s);
	}
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n, void *user)
{
	struct h2 *h = user;
	struct h2_stream *s = find(session, id);

	/* The connection's window is always given back: only the stream's own holds the peer. */
	(void)nghttp2_session_consume_connection(session, n);
	if (s && s->announced && h->ops->data)
		h->ops->data(h->user, s, bytes, n);
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
	struct h2_stream *s = find(session, id);

	if (s)
		stream_close(s, error);
	return 0;
}

/* As much as the peer takes in one frame and its windows let pass. */
static ssize_t frame_length(nghttp2_session *session, uint8_t type, int32_t id, int32_t session_window, int32_t stream_window,
			    uint32_t remote_max, void *user)
{
	uint32_t n = remote_max < FRAME_BYTES ? remote_max : FRAME_BYTES;

	if (session_window > 0 && (uint32_t)session_window < n)
		n = (uint32_t)session_window;
	if (stream_window > 0 && (uint32_t)stream_window < n)
		n = (uint32_t)stream_window;
	return (ssize_t)n;
}

static int make_session(struct h2 *h)
{
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *opt = NULL;
	nghttp2_settings_entry iv[] = {
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, H2_MAX_STREAMS },
		{ NGHTTP2_SETTINGS_MAX_FRAME_SIZE, FRAME_BYTES },
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
	};
	int r = -ENOMEM;

	if (nghttp2_session_callbacks_new(&cb) != 0 || nghttp2_option_new(&opt) != 0)
		goto out;
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_session_callbacks_set_data_source_read_length_callback(cb, frame_length);
	nghttp2_option_set_no_auto_window_update(opt, 1);
	nghttp2_option_set_peer_max_concurrent_streams(opt, H2_MAX_STREAMS);
	nghttp2_option_set_stream_reset_rate_limit(opt, RESETS_BURST, RESETS_PER_SECOND);
	if (h->role == H2_CLIENT)
		r = nghttp2_session_client_new2(&h->session, cb, h, opt);
	else
		r = nghttp2_session_server_new2(&h->session, cb, h, opt);
	if (r == 0)
		r = nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, iv,
					    h->role == H2_SERVER ? ARRAY_LEN(iv) - 1 : ARRAY_LEN(iv));
	if (r == 0)
		r = nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW);
	r = r == 0 ? 0 : -ENOMEM;
out:
	nghttp2_option_del(opt);
	nghttp2_session_callbacks_del(cb);
	return r;
}

struct h2 *h2_new(enum h2_role role, const struct h2_ops *ops, void *user)
{
	struct h2 *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->ops = ops;
	h->user = user;
	h->role = role;
	if (make_session(h) < 0) {
		nghttp2_session_del(h->session);
		free(h);
		return NULL;
	}
	return h;
}

void h2_free(struct h2 *h)
{
	if (!h)
		return;
	h->freeing = true;
	while (h->streams)
		stream_close(h->streams, H2_CANCEL);
	nghttp2_session_del(h->session);
	free(h);
}

static int session_error(long r)
{
	return r == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPROTO;
}

int h2_feed(struct h2 *h, const uint8_t *bytes, size_t n)
{
	ssize_t r = nghttp2_session_mem_recv(h->session, bytes, n);

	if (r < 0)
		return session_error(r);
	if ((size_t)r != n || (!nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session)))
		return -EPROTO;
	return 0;
}

long h2_pull(struct h2 *h, const uint8_t **ret)
{
	ssize_t r = nghttp2_session_mem_send(h->session, ret);

	/* After the GOAWAY of a session that broke nothing follows, in either direction. */
	if (r == 0 && !nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session))
		return -EPROTO;
	return r < 0 ? session_error(r) : (long)r;
}

void h2_ping(struct h2 *h)
{
	(void)nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL);
}

bool h2_wants_write(struct h2 *h)
{
	return nghttp2_session_want_write(h->session) != 0;
}

static nghttp2_nv field(const char *name, const char *value)
{
	return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name,
			     .value = (uint8_t *)(uintptr_t)value,
			     .namelen = strlen(name),
			     .valuelen = strlen(value) };
}

struct h2_stream *h2_request(struct h2 *h, const struct h2_head *head)
{
	nghttp2_data_provider source = { .read_callback = read_out };
	bool connect = strcmp(head->method, "CONNECT") == 0;
	nghttp2_nv nv[4];
	size_t n = 0;
	struct h2_stream *s;

	if (h->freeing)
		return NULL;
	s = stream_new(h, -1);
	if (!s)
		return NULL;
	nv[n++] = field(":method", head->method);
	if (!connect) {
		nv[n++] = field(":scheme", "http");
		nv[n++] = field(":path", head->path);
	}
	nv[n++] = field(":authority", head->authority[0] ? head->authority : "guest");
	s->id = nghttp2_submit_request(h->session, NULL, nv, n, &source, s);
	if (s->id < 0) {
		stream_free(s);
		return NULL;
	}
	s->announced = true;
	return s;
}

int h2_respond(struct h2_stream *s, int status)
{
	nghttp2_data_provider source = { .read_callback = read_out };
	char text[8];
	nghttp2_nv nv[1];

	(void)snprintf(text, sizeof(text), "%03u", (unsigned)status % 1000);
	nv[0] = field(":status", text);
	return nghttp2_submit_response(s->h2->session, s->id, nv, 1, &source) == 0 ? 0 : -ENOMEM;
}

static ssize_t read_out(nghttp2_session *session, int32_t id, uint8_t *dst, size_t size, uint32_t *flags,
			      nghttp2_data_source *source, void *user)
{
	struct h2 *h = user;
	struct h2_stream *s = find(session, id);
	size_t n;

	if (!s)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	n = buf_len(&s->out) < size ? buf_len(&s->out) : size;
	if (n == 0 && !s->shut) {
		s->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	if (n > 0)
		memcpy(dst, buf_bytes(&s->out), n);
	buf_consume(&s->out, n);
	if (s->shut && buf_len(&s->out) == 0)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (s->full && buf_room(&s->out) >= H2_STREAM_OUT / 2) {
		s->full = false;
		if (h->ops->writable)
			h->ops->writable(h->user, s);
	}
	return (ssize_t)n;
}

static void resume(struct h2_stream *s)
{
	if (!s->deferred)
		return;
	s->deferred = false;
	(void)nghttp2_session_resume_data(s->h2->session, s->id);
}

void h2_want_room(struct h2_stream *s)
{
	s->full = true;
}

size_t h2_room(const struct h2_stream *s)
{
	return s->shut ? 0 : buf_room(&s->out);
}

size_t h2_write(struct h2_stream *s, const void *bytes, size_t n)
{
	size_t take = h2_room(s) < n ? h2_room(s) : n;

	if (take > 0 && buf_append(&s->out, bytes, take) < 0)
		take = 0;
	if (take < n)
		s->full = true;
	if (take > 0)
		resume(s);
	return take;
}

void h2_shutdown(struct h2_stream *s)
{
	if (s->shut)
		return;
	s->shut = true;
	resume(s);
}

void h2_reset(struct h2_stream *s, uint32_t error)
{
	(void)nghttp2_submit_rst_stream(s->h2->session, NGHTTP2_FLAG_NONE, s->id, error);
	stream_close(s, error);
}

void h2_consume(struct h2_stream *s, size_t n)
{
	(void)nghttp2_session_consume_stream(s->h2->session, s->id, n);
}

void h2_set_user(struct h2_stream *s, void *user)
{
	s->user = user;
}

void *h2_user(const struct h2_stream *s)
{
	return s->user;
}
