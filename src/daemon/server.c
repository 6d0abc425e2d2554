/* SPDX-License-Identifier: Apache-2.0
 *
 * server: see server.h. A connection's memory is held by its pump and its timer, and goes when both are closed.
 */
#include "daemon/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/outq.h"
#include "base/own.h"
#include "base/pump.h"
#include "daemon/field.h"
#include "daemon/request.h"
#include "daemon/route.h"
#include "wire/http1.h"

#define SOCKET_NAME "sandboxd.sock"
#define BACKLOG 128
/* A line of progress is dropped where this much waits already. */
#define STREAM_WAITING_MAX (256U << 10)

enum conn_state { READING, BUSY, WRITING, CLOSED };

struct conn {
	struct conn *next;
	struct server *server; /* borrowed */
	struct pump pump;
	uv_timer_t timer;
	enum conn_state state;
	struct http1 *http; /* owned */
	struct buf body;    /* of the present request */
	struct buf rest;    /* arrived, and not looked at yet */
	struct outq out;
	struct request *request; /* READING: being made; BUSY: with its handler */
	struct err refused;      /* what is wrong with the request although HTTP was right */
	bool close_after;
	unsigned handles;
};

struct server {
	struct daemon *daemon; /* borrowed */
	uv_poll_t listener;
	int fd; /* owned */
	struct conn *conns;
	size_t nconns;
	bool accepting, draining, closed;
};

static void feed(struct conn *c);
static void listen_more(struct server *sv);

/* --- the end of a connection --- */

static void let_go(struct conn *c)
{
	if (--c->handles > 0)
		return;
	http1_free(c->http);
	buf_done(&c->body);
	buf_done(&c->rest);
	outq_done(&c->out);
	free(c);
}

static void on_timer_closed(uv_handle_t *h)
{
	let_go(h->data);
}

static void on_pump_closed(struct pump *p)
{
	let_go(p->user);
}

static void conn_close(struct conn *c)
{
	struct server *sv = c->server;
	struct conn **at = &sv->conns;

	if (c->state == CLOSED)
		return;
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	sv->nconns--;
	if (c->request && c->state == READING)
		request_free(c->request);
	else if (c->request)
		c->request->conn = NULL;
	c->request = NULL;
	c->state = CLOSED;
	pump_stop(&c->pump);
	uv_close((uv_handle_t *)&c->timer, on_timer_closed);
	if (sv->draining && sv->nconns == 0)
		daemon_idle(sv->daemon);
	else
		listen_more(sv);
}

static void on_timeout(uv_timer_t *t)
{
	struct conn *c = t->data;

	if (c->state == READING && http1_is_started(c->http))
		log_warn("event=slow_client");
	conn_close(c);
}

static void arm(struct conn *c)
{
	(void)uv_timer_start(&c->timer, on_timeout, SERVER_REQUEST_MS, 0);
}

/* --- answers --- */

static int dump(const json_t *o, struct buf *out)
{
	auto_free char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	if (!text)
		return -ENOMEM;
	return buf_printf(out, "%s\n", text);
}

/* The answer is complete: it is written out, and the next request may come. */
static void answered(struct request *r)
{
	struct conn *c = r->conn;

	if (c) {
		c->request = NULL;
		c->state = WRITING;
		arm(c);
		pump_kick(&c->pump);
	}
	request_free(r);
}

static void reply_error(struct conn *c, const struct err *err)
{
	json_t *o = json_pack("{s:o}", "error", field_error(err));
	struct buf text;

	buf_init(&text, 4096);
	if (dump(o, &text) < 0)
		c->close_after = true;
	json_decref(o);
	if (http1_response(&c->out.queued, err_kind_http(err->kind), "application/json", buf_bytes(&text),
			   buf_len(&text), c->close_after) < 0)
		c->close_after = true;
	buf_done(&text);
}

void request_fail(struct request *r, const struct err *err)
{
	if (r->conn)
		reply_error(r->conn, err);
	answered(r);
}

void request_reply(struct request *r, int status, json_t *body)
{
	struct conn *c = r->conn;
	struct err err;
	struct buf text;
	int e;

	buf_init(&text, SERVER_OUT_MAX);
	e = dump(body, &text);
	json_decref(body);
	if (c && e == 0)
		e = http1_response(&c->out.queued, status, "application/json", buf_bytes(&text), buf_len(&text),
				   c->close_after);
	buf_done(&text);
	if (e == 0) {
		answered(r);
		return;
	}
	(void)err_errno(&err, -e, "cannot make the answer");
	request_fail(r, &err);
}

void request_empty(struct request *r)
{
	struct conn *c = r->conn;

	if (c && http1_response(&c->out.queued, 204, NULL, NULL, 0, c->close_after) < 0)
		c->close_after = true;
	answered(r);
}

void request_stream(struct request *r)
{
	struct conn *c = r->conn;

	r->streaming = true;
	if (c && http1_response_chunked(&c->out.queued, 200, "application/x-ndjson", c->close_after) < 0)
		c->close_after = true;
	if (c)
		pump_kick(&c->pump);
}

static void put_line(struct conn *c, const json_t *line)
{
	struct buf text;

	buf_init(&text, 65536);
	if (dump(line, &text) == 0)
		(void)http1_chunk(&c->out.queued, buf_bytes(&text), buf_len(&text));
	buf_done(&text);
	pump_kick(&c->pump);
}

void request_line(struct request *r, const json_t *line)
{
	if (r->conn && outq_len(&r->conn->out) < STREAM_WAITING_MAX)
		put_line(r->conn, line);
}

void request_end(struct request *r, const json_t *last)
{
	struct conn *c = r->conn;

	if (c) {
		put_line(c, last);
		if (http1_chunk_end(&c->out.queued) < 0)
			c->close_after = true;
	}
	answered(r);
}

void request_free(struct request *r)
{
	json_decref(r->body);
	free(r);
}

/* --- requests --- */

static int on_head(void *user, const struct http1_head *head)
{
	struct conn *c = user;

	c->close_after = head->close || c->server->draining;
	c->request = calloc(1, sizeof(*c->request));
	if (!c->request)
		return -ENOMEM;
	c->request->daemon = c->server->daemon;
	c->request->conn = c;
	/* A wrong path is answered once the body is here too, so that the connection stays in step. */
	c->refused = (struct err){ 0 };
	(void)route_parse(c->request, head, &c->refused);
	if (head->expect_continue && c->refused.kind == ERR_NONE)
		(void)http1_continue(&c->out.queued);
	return 0;
}

static int on_body(void *user, const uint8_t *bytes, size_t n)
{
	struct conn *c = user;

	return buf_append(&c->body, bytes, n);
}

static const struct http1_ops http_ops = { .head = on_head, .body = on_body };

/* A whole request is here. */
static void dispatch(struct conn *c)
{
	struct request *r = c->request;

	c->state = BUSY;
	(void)uv_timer_stop(&c->timer);
	pump_set_reading(&c->pump, false);
	if (c->refused.kind == ERR_NONE)
		(void)route_body(r, (const char *)buf_bytes(&c->body), buf_len(&c->body), &c->refused);
	buf_done(&c->body);
	if (c->refused.kind != ERR_NONE) {
		request_fail(r, &c->refused);
		return;
	}
	log_debug("event=request method=%s path=%s", r->method, r->path);
	route_run(r);
}

/* HTTP itself is broken: say so once, and close, because nobody knows where the next request begins. */
static void refuse(struct conn *c, const struct err *err)
{
	if (c->request)
		request_free(c->request);
	c->request = NULL;
	c->close_after = true;
	reply_error(c, err);
	c->state = WRITING;
	arm(c);
	pump_set_reading(&c->pump, false);
	pump_kick(&c->pump);
}

static void feed(struct conn *c)
{
	struct err err;
	long used;

	if (c->state != READING || buf_len(&c->rest) == 0)
		return;
	if (!http1_is_started(c->http))
		arm(c);
	used = http1_feed(c->http, buf_bytes(&c->rest), buf_len(&c->rest), &err);
	if (used < 0) {
		if (used == -ENOMEM)
			(void)err_errno(&err, ENOMEM, "the request");
		refuse(c, &err);
		return;
	}
	buf_consume(&c->rest, (size_t)used);
	if (http1_is_complete(c->http))
		dispatch(c);
	else
		pump_kick(&c->pump); /* perhaps a 100 Continue */
}

static int on_bytes(struct pump *p, const uint8_t *bytes, size_t n)
{
	struct conn *c = p->user;
	int r = buf_append(&c->rest, bytes, n);

	if (r == 0)
		feed(c);
	return r;
}

/* The answer is out: the next request of this connection. */
static void next_request(struct conn *c)
{
	if (c->close_after || c->server->draining) {
		conn_close(c);
		return;
	}
	c->state = READING;
	http1_next(c->http);
	arm(c);
	pump_set_reading(&c->pump, true);
	feed(c);
}

static long on_pull(struct pump *p, const uint8_t **ret)
{
	struct conn *c = p->user;
	long n = outq_pull(&c->out, ret, NULL);

	if (c->state == WRITING && n > 0)
		arm(c);
	if (c->state == WRITING && n == 0) {
		next_request(c);
		n = c->state == CLOSED ? 0 : outq_pull(&c->out, ret, NULL);
	}
	return n;
}

static void on_end(struct pump *p, int error)
{
	conn_close(p->user);
}

static const struct pump_ops pump_ops = {
	.bytes = on_bytes,
	.pull = on_pull,
	.end = on_end,
	.closed = on_pump_closed,
};

/* --- the socket --- */

static void add(struct server *sv, int fd)
{
	struct conn *c;
	uid_t uid;

	if (io_peer_uid(fd, &uid) < 0 || (uid != geteuid() && uid != 0)) {
		log_warn("event=client_refused");
		(void)close(fd);
		return;
	}
	c = calloc(1, sizeof(*c));
	if (c)
		c->http = http1_new(HTTP1_REQUEST, REQUEST_BODY_MAX, &http_ops, c);
	if (!c || !c->http) {
		free(c);
		(void)close(fd);
		return;
	}
	c->server = sv;
	buf_init(&c->body, REQUEST_BODY_MAX);
	buf_init(&c->rest, 2 * 65536);
	outq_init(&c->out, SERVER_OUT_MAX);
	if (pump_start(&c->pump, &sv->daemon->loop, fd, &pump_ops, c) < 0) {
		http1_free(c->http);
		free(c);
		return;
	}
	(void)uv_timer_init(&sv->daemon->loop, &c->timer);
	c->timer.data = c;
	c->handles = 2;
	c->next = sv->conns;
	sv->conns = c;
	sv->nconns++;
	arm(c);
}

static void on_connect(uv_poll_t *h, int status, int events)
{
	struct server *sv = h->data;

	while (sv->nconns < SERVER_CONNS_MAX) {
		int fd = accept4(sv->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE) && sv->nconns > 0) {
			log_warn("event=accept error=\"%s\"", strerror(errno));
			break; /* a connection that closes brings us back */
		}
		if (fd < 0)
			return;
		add(sv, fd);
	}
	(void)uv_poll_stop(&sv->listener);
	sv->accepting = false;
}

static void listen_more(struct server *sv)
{
	if (sv->accepting || sv->draining || sv->closed)
		return;
	sv->accepting = true;
	(void)uv_poll_start(&sv->listener, UV_READABLE, on_connect);
}

int server_start(struct daemon *d, struct err *err)
{
	struct server *sv = calloc(1, sizeof(*sv));
	int r;

	if (!sv)
		return err_errno(err, ENOMEM, "the API");
	sv->daemon = d;
	sv->fd = io_unix_listen(d->runtime_fd, SOCKET_NAME, BACKLOG);
	r = sv->fd < 0 ? sv->fd : io_set_nonblock(sv->fd, true);
	if (r == 0)
		r = uv_poll_init(&d->loop, &sv->listener, sv->fd);
	if (r < 0) {
		own_close_p(&sv->fd);
		free(sv);
		return err_errno(err, -r, "cannot listen on %.300s/%s", d->dirs.runtime, SOCKET_NAME);
	}
	sv->listener.data = sv;
	d->server = sv;
	listen_more(sv);
	return 0;
}

static void on_listener_closed(uv_handle_t *h)
{
	struct server *sv = h->data;

	sv->closed = true;
	own_close_p(&sv->fd);
}

void server_drain(struct daemon *d)
{
	struct server *sv = d->server;
	struct conn *next;

	if (!sv || sv->draining)
		return;
	sv->draining = true;
	(void)unlinkat(d->runtime_fd, SOCKET_NAME, 0);
	uv_close((uv_handle_t *)&sv->listener, on_listener_closed);
	for (struct conn *c = sv->conns; c; c = next) {
		next = c->next;
		if (c->state == READING && !http1_is_started(c->http))
			conn_close(c);
	}
	if (sv->nconns == 0)
		daemon_idle(d);
}

void server_stop(struct daemon *d)
{
	struct server *sv = d->server;

	if (!sv)
		return;
	server_drain(d);
	while (sv->conns)
		conn_close(sv->conns);
}

void server_free(struct daemon *d)
{
	free(d->server);
	d->server = NULL;
}
