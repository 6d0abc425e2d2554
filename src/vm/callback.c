/* SPDX-License-Identifier: Apache-2.0
 *
 * callback: see callback.h. What a client sends is hostile (any program or page of this host may come first), what the guest sends is bounded
 * by its stream's window.
 */
#include "vm/callback.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/log.h"
#include "base/outq.h"
#include "base/own.h"
#include "base/pump.h"
#include "base/str.h"
#include "vm/ports.h"
#include "wire/h2.h"
#include "wire/httphead.h"

#define LISTENERS 2 /* 127.0.0.1 and ::1 */
#define HEAD_MS 10000
#define ANSWER_MS 60000
#define GRACE_MS 10000
#define TICK_MS 1000
#define LINE_MAX_BYTES 256
/* Before every field of the program's. Its page would be of one site with all that serves on localhost here, whose cookies it could read. */
#define OWN_FIELDS "Content-Security-Policy: sandbox\r\nConnection: close\r\n"

enum conn_state { CONN_READING, CONN_RELAYING, CONN_ANSWERED };

struct conn {
	struct pump pump;
	struct callback *callback;
	struct conn *prev, *next;
	enum conn_state state;
	struct httphead head;
	struct httpmsg msg;
	size_t head_bytes;
	struct door_stream *stream; /* RELAYING; NULL once it has ended */
	bool heard;                 /* RELAYING: the program has begun its answer */
	char line[LINE_MAX_BYTES];  /* until then: its status line, as far as it came */
	size_t line_n;
	struct buf fields;          /* of a redirection, until it was seen where to */
	struct outq out;
	size_t own; /* bytes in out that were not the stream's */
	uint64_t deadline_ms;
};

struct listener {
	struct callback *callback;
	uv_poll_t poll;
	int fd; /* owned; -1: none */
};

struct callback {
	uv_loop_t *loop;   /* borrowed */
	struct door *door; /* borrowed */
	const struct callback_ops *ops;
	void *user;
	struct openurl_callback where;
	struct dest self;
	struct listener listeners[LISTENERS];
	uv_timer_t tick;
	struct conn *conns;
	unsigned nconns, tries, handles;
	uint64_t end_ms;
	bool served, freed, led;
	char next[OPENURL_MAX + 1]; /* led: what the program redirects the browser to here; "" once it was asked for */
};

/* --- answers of ours --- */

static void finish(struct conn *c)
{
	c->state = CONN_ANSWERED;
	pump_kick(&c->pump);
}

static void page(struct conn *c, unsigned int status, const char *text)
{
	char bytes[700];

	(void)str_format(bytes, sizeof(bytes),
			 "HTTP/1.1 %u %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
			 "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n%s\n",
			 status, httphead_phrase(status), strlen(text) + 1, text);
	(void)outq_append(&c->out, bytes, strlen(bytes));
	finish(c);
}

/* --- the guest's side --- */

static void guest_over(struct conn *c)
{
	if (!c->heard)
		page(c, 502, "sbx: nobody in the sandbox took this sign-in. Start it again.");
	else
		finish(c);
}

static void guest_response(void *user, int status)
{
	struct conn *c = user;

	if (status == 200 || !c->stream)
		return;
	door_cancel(TAKE_PTR(c->stream));
	guest_over(c);
}

/* "HTTP/1.1 200 OK", to its line feed; never one of 1xx, which another head would follow. */
static bool is_answer(const char *s, size_t n)
{
	if (n < 13 || memcmp(s, "HTTP/1.", 7) != 0 || (s[7] != '0' && s[7] != '1') || s[8] != ' ' || s[9] < '2' || s[9] > '5' ||
	    strspn(s + 10, "0123456789") != 2)
		return false;
	n -= s[n - 2] == '\r' ? 2 : 1;
	for (size_t i = 12; i < n; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return false;
	return true;
}

/* The program took it. */
static void note_success(struct callback *cb)
{
	if (cb->served)
		return;
	cb->served = true;
	cb->end_ms = io_now_ms() + GRACE_MS;
	log_info("event=callback_served port=%u", cb->where.port);
}

/* Some programs have a page of their own at the end, and wait until it was fetched. */
static void note_fields(struct callback *cb, const char *fields, size_t n)
{
	static const char name[] = "location:";
	const char *at = fields, *end = fields + n;

	while (at < end) {
		const char *lf = memchr(at, '\n', (size_t)(end - at)), *stop = lf ? lf : end;

		if ((size_t)(stop - at) > strlen(name) && strncasecmp(at, name, strlen(name)) == 0) {
			at += strlen(name);
			while (at < stop && *at == ' ')
				at++;
			while (stop > at && (stop[-1] == ' ' || stop[-1] == '\r'))
				stop--;
			cb->led = cb->led || openurl_next(&cb->where, at, (size_t)(stop - at), cb->next) == 0;
			return;
		}
		at = lf ? lf + 1 : end;
	}
}

/* What follows the line of a redirection: its fields to their end, or as many as we take. */
static void take_fields(struct conn *c, const uint8_t *bytes, size_t n)
{
	const char *end;

	if (c->line[9] != '3' || !c->fields.max || buf_append(&c->fields, bytes, n) < 0)
		return;
	end = memmem(buf_bytes(&c->fields), buf_len(&c->fields), "\r\n\r\n", 4);
	if (!end)
		return;
	note_fields(c->callback, (const char *)buf_bytes(&c->fields), (size_t)(end - (const char *)buf_bytes(&c->fields)));
	buf_done(&c->fields);
	c->fields.max = 0;
}

/* How many of the bytes were the status line's; where it is complete, it is in out with our fields behind it. Negative: it is none. */
static long take_line(struct conn *c, const uint8_t *bytes, size_t n)
{
	const uint8_t *lf = memchr(bytes, '\n', n);
	size_t take = lf ? (size_t)(lf - bytes) + 1 : n;

	if (take >= sizeof(c->line) - c->line_n)
		return -EMSGSIZE;
	memcpy(c->line + c->line_n, bytes, take);
	c->line_n += take;
	c->line[c->line_n] = 0;
	if (!lf)
		return (long)take;
	if (!is_answer(c->line, c->line_n))
		return -EPROTO;
	c->heard = true;
	if (c->line[9] == '2' || c->line[9] == '3')
		note_success(c->callback);
	c->own = strlen(OWN_FIELDS);
	if (outq_append(&c->out, c->line, c->line_n) < 0 || outq_append(&c->out, OWN_FIELDS, c->own) < 0)
		return -ENOMEM;
	return (long)take;
}

static void guest_data(void *user, const uint8_t *bytes, size_t n)
{
	struct conn *c = user;
	long used = c->heard ? 0 : take_line(c, bytes, n);

	if (used >= 0 && c->heard)
		take_fields(c, bytes + used, n - (size_t)used);
	/* No answer, or more than the window allows: the guest breaks the protocol. */
	if (used < 0 || outq_append(&c->out, bytes + used, n - (size_t)used) < 0) {
		door_cancel(TAKE_PTR(c->stream));
		guest_over(c);
		return;
	}
	pump_kick(&c->pump);
}

static void guest_eof(void *user)
{
	struct conn *c = user;

	door_cancel(TAKE_PTR(c->stream));
	guest_over(c);
}

static void guest_closed(void *user, uint32_t error)
{
	struct conn *c = user;

	c->stream = NULL;
	guest_over(c);
}

static const struct door_stream_ops guest_ops = {
	.response = guest_response, .data = guest_data, .eof = guest_eof, .closed = guest_closed,
};

static void relay(struct conn *c, const char *target)
{
	struct callback *cb = c->callback;
	bool v6 = cb->self.kind == DEST_V6;
	char authority[16];
	struct buf head;
	int r;

	(void)str_format(authority, sizeof(authority), ":%u", (unsigned)cb->where.port);
	c->state = CONN_RELAYING;
	c->deadline_ms = io_now_ms() + ANSWER_MS;
	cb->tries++;
	buf_init(&head, CALLBACK_HEAD_MAX + 256);
	r = buf_printf(&head, "GET %s HTTP/1.1\r\nHost: %s%s%s:%u\r\nAccept: text/html, */*\r\nConnection: close\r\n\r\n", target, v6 ? "[" : "",
		       cb->where.host, v6 ? "]" : "", (unsigned)cb->where.port);
	c->stream = r == 0 ? door_open_to(cb->door, "/port", authority, &guest_ops, c) : NULL;
	/* All of it: a new stream takes more than a head. */
	if (!c->stream || door_write(c->stream, buf_bytes(&head), buf_len(&head)) < buf_len(&head)) {
		if (c->stream)
			door_cancel(TAKE_PTR(c->stream));
		guest_over(c);
	}
	buf_done(&head);
}

/* --- the browser's side --- */

static const char *field(const struct httpmsg *m, const char *name)
{
	int i = httpmsg_find_name(m, name, strlen(name), 0);

	return i < 0 ? NULL : httpmsg_value(m, i);
}

/* A page of any site can make a browser send requests here; only what its address bar says goes through. */
static bool from_a_page(const struct httpmsg *m)
{
	const char *mode = field(m, "Sec-Fetch-Mode"), *dest = field(m, "Sec-Fetch-Dest");

	return field(m, "Origin") || (mode && !str_eq(mode, "navigate")) || (dest && !str_eq(dest, "document"));
}

static void decide(struct conn *c)
{
	struct callback *cb = c->callback;
	const struct httpmsg *m = &c->msg;
	const char *target = httpmsg_str(m, m->path);
	size_t path = strcspn(target, "?");

	if (m->form != HTTPMSG_ORIGIN || !httpmsg_is_for(m, &cb->self))
		page(c, 421, "sbx: this is not the host that the sign-in was told.");
	else if (m->method_id != HTTPMSG_GET || m->body == HTTPMSG_BODY_CHUNKED || m->length > 0 || m->websocket)
		page(c, 405, "sbx: only GET comes through here.");
	else if (from_a_page(m))
		page(c, 403, "sbx: only a browser's own navigation comes through here.");
	else if (cb->next[0] && str_eq(cb->next, target)) {
		cb->next[0] = 0;
		relay(c, target);
	} else if (cb->served)
		page(c, 200, "Signed in, in the sandbox. You can close this page.");
	else if (strlen(cb->where.path) != path || memcmp(cb->where.path, target, path) != 0)
		page(c, 404, "sbx: only the sign-in's own address comes through here.");
	else if (cb->tries >= CALLBACK_TRIES)
		page(c, 429, "sbx: too many tries. Start the sign-in again.");
	else
		relay(c, target);
}

static int client_bytes(struct pump *p, const uint8_t *bytes, size_t n)
{
	struct conn *c = p->user;
	struct httpmsg_refusal why = { .status = 400, .reason = "" };
	long took;

	if (c->state != CONN_READING)
		return 0;
	c->head_bytes += n;
	took = httphead_feed(&c->head, bytes, n, &why);
	if (took < 0)
		page(c, why.status, why.reason);
	else if (c->head_bytes - (n - (size_t)took) > CALLBACK_HEAD_MAX)
		page(c, 431, "sbx: the request's head is too large.");
	else if (c->head.done)
		decide(c);
	return 0;
}

static long client_pull(struct pump *p, const uint8_t **ret)
{
	struct conn *c = p->user;
	size_t freed, own;
	long n = outq_pull(&c->out, ret, &freed);

	own = freed < c->own ? freed : c->own;
	c->own -= own;
	if (freed > own && c->stream)
		door_consume(c->stream, freed - own);
	return n == 0 && c->state == CONN_ANSWERED ? -ESHUTDOWN : n;
}

static void client_eof(struct pump *p)
{
	struct conn *c = p->user;

	if (c->state == CONN_READING)
		finish(c);
}

static void drop(struct conn *c)
{
	if (c->stream)
		door_cancel(TAKE_PTR(c->stream));
	if (c->prev)
		c->prev->next = c->next;
	else
		c->callback->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->callback->nconns--;
}

static void client_end(struct pump *p, int error)
{
	drop(p->user);
}

static void client_closed(struct pump *p)
{
	struct conn *c = p->user;

	httpmsg_done(&c->msg);
	outq_done(&c->out);
	buf_done(&c->fields);
	free(c);
}

static const struct pump_ops client_ops = {
	.bytes = client_bytes, .pull = client_pull, .eof = client_eof, .end = client_end, .closed = client_closed,
};

static void take(struct callback *cb, int fd)
{
	struct conn *c = cb->nconns < CALLBACK_CONNECTIONS && io_now_ms() < cb->end_ms ? calloc(1, sizeof(*c)) : NULL;

	if (!c) {
		(void)close(fd);
		return;
	}
	if (pump_start(&c->pump, cb->loop, fd, &client_ops, c) < 0) {
		free(c);
		return;
	}
	httpmsg_init(&c->msg, HTTPMSG_REQUEST);
	httphead_init(&c->head, &c->msg, DEST_HTTP);
	outq_init(&c->out, H2_STREAM_WINDOW + sizeof(OWN_FIELDS));
	buf_init(&c->fields, CALLBACK_HEAD_MAX);
	c->callback = cb;
	c->deadline_ms = io_now_ms() + HEAD_MS;
	c->next = cb->conns;
	if (c->next)
		c->next->prev = c;
	cb->conns = c;
	cb->nconns++;
}

static void on_connect(uv_poll_t *h, int status, int events)
{
	struct listener *l = h->data;
	int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0)
		take(l->callback, fd);
	else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
		(void)uv_poll_stop(h);
}

/* --- its life --- */

static void on_tick(uv_timer_t *t)
{
	struct callback *cb = t->data;
	uint64_t now = io_now_ms();

	for (struct conn *c = cb->conns, *next; c; c = next) {
		next = c->next;
		if (now >= c->deadline_ms) {
			drop(c);
			pump_stop(&c->pump);
		}
	}
	if (now < cb->end_ms || (cb->served && cb->conns))
		return;
	(void)uv_timer_stop(t);
	cb->ops->over(cb->user, cb);
}

static void let_go(struct callback *cb)
{
	if (--cb->handles == 0)
		free(cb);
}

static void on_tick_closed(uv_handle_t *h)
{
	let_go(h->data);
}

static void on_listener_closed(uv_handle_t *h)
{
	let_go(((struct listener *)h->data)->callback);
}

void callback_free(struct callback *cb)
{
	if (!cb || cb->freed)
		return;
	cb->freed = true;
	while (cb->conns) {
		struct conn *c = cb->conns;

		drop(c);
		pump_stop(&c->pump);
	}
	for (size_t i = 0; i < LISTENERS; i++) {
		struct listener *l = &cb->listeners[i];

		if (l->fd < 0)
			continue;
		(void)uv_poll_stop(&l->poll);
		uv_close((uv_handle_t *)&l->poll, on_listener_closed);
		own_close_p(&l->fd);
	}
	uv_close((uv_handle_t *)&cb->tick, on_tick_closed);
}

static int listen_at(struct callback *cb, size_t which, const char *ip)
{
	struct portmap m = { .v6 = which == 1, .host_port = cb->where.port, .sandbox_port = cb->where.port };
	struct listener *l = &cb->listeners[which];
	int fd, r;

	(void)str_format(m.host_ip, sizeof(m.host_ip), "%s", ip);
	fd = ports_bind(&m);
	if (fd < 0)
		return fd;
	r = uv_poll_init(cb->loop, &l->poll, fd);
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	l->fd = fd;
	l->poll.data = l;
	cb->handles++;
	return uv_poll_start(&l->poll, UV_READABLE, on_connect);
}

/* A browser tries both addresses of localhost; whoever has one of them would get what is meant for the sandbox. */
static int listen_all(struct callback *cb)
{
	bool name = str_eq(cb->where.host, "localhost");
	int r = 0;

	if (name || str_eq(cb->where.host, "127.0.0.1"))
		r = listen_at(cb, 0, "127.0.0.1");
	if (r < 0 || (!name && !str_eq(cb->where.host, "::1")))
		return r;
	r = listen_at(cb, 1, "::1");
	return name && r != -EADDRINUSE ? 0 : r;
}

struct callback *callback_new(uv_loop_t *loop, struct door *door, const struct openurl_callback *where, const struct callback_ops *ops,
			      void *user, struct err *err)
{
	struct callback *cb = calloc(1, sizeof(*cb));
	int r;

	if (!cb) {
		(void)err_errno(err, ENOMEM, "cannot wait for a sign-in");
		return NULL;
	}
	*cb = (struct callback){ .loop = loop, .door = door, .ops = ops, .user = user, .where = *where, .handles = 1 };
	cb->end_ms = io_now_ms() + CALLBACK_MS;
	for (size_t i = 0; i < LISTENERS; i++)
		cb->listeners[i] = (struct listener){ .callback = cb, .fd = -1 };
	(void)uv_timer_init(loop, &cb->tick);
	cb->tick.data = cb;
	r = dest_make(where->host, strlen(where->host), where->port, DEST_HTTP, &cb->self) == DEST_OK ? listen_all(cb) : -EINVAL;
	if (r == 0)
		r = uv_timer_start(&cb->tick, on_tick, TICK_MS, TICK_MS);
	if (r == 0) {
		log_info("event=callback_open port=%u", (unsigned)where->port);
		return cb;
	}
	if (r == -EADDRINUSE)
		(void)err_set(err, ERR_CONFLICT, EADDRINUSE, "the sign-in comes back to port %u of this host, which is in use: end what uses it",
			      (unsigned)where->port);
	else
		(void)err_errno(err, -r, "cannot listen on port %u for the sign-in", (unsigned)where->port);
	callback_free(cb);
	return NULL;
}

uint16_t callback_port(const struct callback *c)
{
	return c->where.port;
}
