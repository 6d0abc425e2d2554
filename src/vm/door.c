/* SPDX-License-Identifier: Apache-2.0
 *
 * door: see door.h. A call is a stream whose answer is gathered; everything else is the stream's.
 */
#include "vm/door.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/own.h"
#include "base/pump.h"
#include "base/str.h"
#include "wire/h2.h"

#define REPLY_MAX_BYTES (64 * 1024)

struct door {
	struct pump pump;
	struct h2 *h2;              /* owned */
	const struct door_ops *ops; /* borrowed */
	void *user;
	uv_loop_t *loop;
	bool freed, pump_closed;
	bool busy; /* inside the session: freeing it waits until we are out */
};

struct door_stream {
	struct door *door;
	struct h2_stream *h2;
	const struct door_stream_ops *ops; /* borrowed */
	void *user;
	bool cancelled;
};

struct call {
	uv_timer_t timer;
	struct door_stream *stream; /* NULL once it has ended */
	struct buf reply;
	bool too_large, timed_out, finished;
	struct door *door; /* borrowed until the call has finished */
	char path[32];
	door_done done;
	void *user;
};

/* --- the session --- */

static void on_response(void *user, struct h2_stream *h2s, int status)
{
	struct door_stream *s = h2_user(h2s);

	if (s && !s->cancelled && s->ops->response)
		s->ops->response(s->user, status);
}

static void on_data(void *user, struct h2_stream *h2s, const uint8_t *bytes, size_t n)
{
	struct door_stream *s = h2_user(h2s);

	if (s)
		s->ops->data(s->user, bytes, n);
}

static void on_eof(void *user, struct h2_stream *h2s)
{
	struct door_stream *s = h2_user(h2s);

	if (s && s->ops->eof)
		s->ops->eof(s->user);
}

static void on_writable(void *user, struct h2_stream *h2s)
{
	struct door_stream *s = h2_user(h2s);

	if (s && s->ops->writable)
		s->ops->writable(s->user);
}

static void on_stream_closed(void *user, struct h2_stream *h2s, uint32_t error)
{
	struct door_stream *s = h2_user(h2s);

	if (!s)
		return;
	if (!s->cancelled)
		s->ops->closed(s->user, error);
	free(s);
}

static const struct h2_ops h2_ops = {
	.response = on_response, .data = on_data, .eof = on_eof, .writable = on_writable, .closed = on_stream_closed,
};

/* Out of the session again: frees it where that was asked for meanwhile. */
static void leave(struct door *d)
{
	d->busy = false;
	if (d->freed) {
		h2_free(TAKE_PTR(d->h2));
		pump_stop(&d->pump);
	}
}

static int on_bytes(struct pump *p, const uint8_t *bytes, size_t n)
{
	struct door *d = p->user;
	int r;

	d->busy = true;
	r = h2_feed(d->h2, bytes, n);
	if (!d->freed && r == 0)
		pump_kick(p);
	leave(d);
	return r;
}

static long on_pull(struct pump *p, const uint8_t **ret)
{
	struct door *d = p->user;
	long n;

	d->busy = true;
	n = h2_pull(d->h2, ret);
	leave(d);
	return n;
}

static void on_end(struct pump *p, int error)
{
	struct door *d = p->user;
	struct h2 *h2 = TAKE_PTR(d->h2);

	h2_free(h2);
	if (!d->freed)
		d->ops->end(d->user, error);
}

static void on_pump_closed(struct pump *p)
{
	struct door *d = p->user;

	d->pump_closed = true;
	if (d->freed)
		free(d);
}

static const struct pump_ops pump_ops = {
	.bytes = on_bytes, .pull = on_pull, .end = on_end, .closed = on_pump_closed,
};

struct door *door_new(uv_loop_t *loop, int fd, const struct door_ops *ops, void *user)
{
	struct door *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->ops = ops;
	d->user = user;
	d->loop = loop;
	d->h2 = h2_new(H2_CLIENT, &h2_ops, d);
	if (!d->h2 || pump_start(&d->pump, loop, fd, &pump_ops, d) < 0) {
		h2_free(d->h2);
		free(d);
		return NULL;
	}
	return d;
}

void door_free(struct door *d)
{
	if (!d || d->freed)
		return;
	d->freed = true;
	if (d->busy)
		return;
	h2_free(TAKE_PTR(d->h2));
	if (d->pump_closed)
		free(d);
	else
		pump_stop(&d->pump);
}

/* --- streams --- */

struct door_stream *door_open(struct door *d, const char *path, const struct door_stream_ops *ops, void *user)
{
	return door_open_to(d, path, "", ops, user);
}

struct door_stream *door_open_to(struct door *d, const char *path, const char *authority, const struct door_stream_ops *ops,
				 void *user)
{
	struct h2_head head = { .method = "POST" };
	struct door_stream *s;

	if (!d || !d->h2 || str_format(head.path, sizeof(head.path), "%s", path) < 0 ||
	    str_format(head.authority, sizeof(head.authority), "%s", authority) < 0)
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->door = d;
	s->ops = ops;
	s->user = user;
	s->h2 = h2_request(d->h2, &head);
	if (!s->h2) {
		free(s);
		return NULL;
	}
	h2_set_user(s->h2, s);
	pump_kick(&d->pump);
	return s;
}

size_t door_write(struct door_stream *s, const void *bytes, size_t n)
{
	size_t took = h2_write(s->h2, bytes, n);

	pump_kick(&s->door->pump);
	return took;
}

void door_consume(struct door_stream *s, size_t n)
{
	h2_consume(s->h2, n);
	pump_kick(&s->door->pump);
}

void door_shutdown(struct door_stream *s)
{
	h2_shutdown(s->h2);
	pump_kick(&s->door->pump);
}

void door_cancel(struct door_stream *s)
{
	struct door *d = s->door;

	s->cancelled = true;
	h2_reset(s->h2, H2_CANCEL);
	pump_kick(&d->pump);
}

/* --- calls --- */

static void call_timer_closed(uv_handle_t *h)
{
	struct call *c = h->data;

	buf_done(&c->reply);
	free(c);
}

/* errnum is EPIPE where the connection ended: the machine may be ending with it. */
static void call_finish(struct call *c, const char *problem, int errnum)
{
	struct err err = { 0 };
	json_t *reply = NULL;
	const json_t *error;
	json_error_t je;

	if (c->finished)
		return;
	c->finished = true;
	if (c->door->freed) {
		uv_close((uv_handle_t *)&c->timer, call_timer_closed);
		return;
	}
	if (!problem) {
		reply = json_loadb((const char *)buf_bytes(&c->reply), buf_len(&c->reply), JSON_REJECT_DUPLICATES, &je);
		if (!json_is_object(reply))
			problem = "answered something that is not JSON";
	}
	error = json_object_get(reply, "error");
	if (problem) {
		(void)err_set(&err, c->timed_out ? ERR_TIMEOUT : ERR_UNAVAILABLE, errnum, "the guest %s (%s)", problem, c->path);
	} else if (error) {
		const char *said = json_string_value(json_object_get(error, "message"));
		char text[300];

		str_escape(text, sizeof(text), said ? said : "?", strlen(said ? said : "?"));
		(void)err_set(&err, err_kind_from_name(json_string_value(json_object_get(error, "kind"))), 0,
			      "the guest says: %s", text);
	}
	uv_close((uv_handle_t *)&c->timer, call_timer_closed);
	c->done(c->user, err.kind ? NULL : reply, err.kind ? &err : NULL);
	json_decref(reply);
}

static void call_data(void *user, const uint8_t *bytes, size_t n)
{
	struct call *c = user;

	if (buf_append(&c->reply, bytes, n) < 0)
		c->too_large = true;
	door_consume(c->stream, n);
}

static void call_eof(void *user)
{
	struct call *c = user;
	struct door_stream *s = TAKE_PTR(c->stream);

	if (s)
		door_cancel(s);
	call_finish(c, c->too_large ? "answered too much" : NULL, EPROTO);
}

static void call_closed(void *user, uint32_t error)
{
	struct call *c = user;

	c->stream = NULL;
	call_finish(c, "ended the connection", EPIPE);
}

static void call_timeout(uv_timer_t *t)
{
	struct call *c = t->data;
	struct door_stream *s = TAKE_PTR(c->stream);

	if (s)
		door_cancel(s);
	c->timed_out = true;
	call_finish(c, "did not answer in time", ETIMEDOUT);
}

static const struct door_stream_ops call_ops = { .data = call_data, .eof = call_eof, .closed = call_closed };

int door_call(struct door *d, const char *path, json_t *body, uint64_t timeout_ms, door_done done, void *user)
{
	auto_free char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct call *c = calloc(1, sizeof(*c));
	bool ok = c && (text || !body);

	json_decref(body);
	if (ok) {
		buf_init(&c->reply, REPLY_MAX_BYTES);
		c->door = d;
		c->done = done;
		c->user = user;
		(void)str_format(c->path, sizeof(c->path), "%s", path);
		c->stream = door_open(d, path, &call_ops, c);
	}
	if (!ok || !c->stream || (text && door_write(c->stream, text, strlen(text)) < strlen(text))) {
		if (c && c->stream)
			door_cancel(c->stream);
		free(c);
		return -EPIPE;
	}
	h2_shutdown(c->stream->h2);
	(void)uv_timer_init(d->loop, &c->timer);
	c->timer.data = c;
	(void)uv_timer_start(&c->timer, call_timeout, timeout_ms, 0);
	return 0;
}
