/* SPDX-License-Identifier: Apache-2.0
 *
 * opens: see opens.h.
 */
#include "vm/opens.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "vm/callback.h"
#include "wire/h2.h"
#include "wire/openmsg.h"

#define TICK_MS 1000
#define WHY_MAX 900

struct wish {
	struct wish *next;
	uint32_t id;       /* ours */
	uint32_t guest_id; /* of the program that waits; 0: it was answered */
	uint64_t answer_by_ms, until_ms;
	uint64_t taken_until_ms; /* 0: not taken */
	bool local;
	struct openurl url;
	struct callback *callback; /* borrowed: stands in the list too; NULL */
};

struct opens {
	uv_loop_t *loop;
	struct door *door;
	const struct ports *ports;
	const char *name;
	const struct opens_ops *ops;
	void *user;
	struct door_stream *stream; /* NULL once it has ended */
	struct buf in, out;
	uv_timer_t tick;
	struct wish *wishes; /* owned, the oldest first */
	struct callback *callbacks[OPENS_CALLBACKS]; /* owned; NULL: free */
	uint32_t last_id;
	unsigned tokens;
	uint64_t refilled_ms;
};

/* --- to the guest --- */

static void flush_out(struct opens *o)
{
	if (o->stream && buf_len(&o->out) > 0)
		buf_consume(&o->out, door_write(o->stream, buf_bytes(&o->out), buf_len(&o->out)));
}

static void tell(struct opens *o, uint32_t guest_id, const char *error)
{
	char text[WHY_MAX + 8];

	if (guest_id == 0 || !o->stream)
		return;
	(void)str_format(text, sizeof(text), "%s%.*s", error ? "no " : "ok", error ? WHY_MAX : 0, error ? error : "");
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	/* One that does not read its answers hears nothing more. */
	(void)openmsg_put(&o->out, guest_id, text, strlen(text));
	flush_out(o);
}

static void answer(struct opens *o, struct wish *w, const char *error)
{
	tell(o, w->guest_id, error);
	w->guest_id = 0;
}

/* --- the wishes --- */

static struct wish *find(struct opens *o, json_int_t id)
{
	for (struct wish *w = o->wishes; w; w = w->next)
		if ((json_int_t)w->id == id)
			return w;
	return NULL;
}

static void forget(struct opens *o, struct wish *gone)
{
	for (struct wish **at = &o->wishes; *at; at = &(*at)->next)
		if (*at == gone) {
			*at = gone->next;
			free(gone);
			return;
		}
}

static void explain_waiting(const struct opens *o, char dst[160])
{
	(void)str_format(dst, 160, "it waits for a person: on the host, `sbx open %s`", o->name);
}

static void on_tick(uv_timer_t *t)
{
	struct opens *o = t->data;
	uint64_t now = io_now_ms();
	char why[160];

	explain_waiting(o, why);
	for (struct wish *w = o->wishes, *next; w; w = next) {
		next = w->next;
		if (now >= w->answer_by_ms)
			answer(o, w, why);
		if (now >= w->taken_until_ms)
			w->taken_until_ms = 0;
		if (now >= w->until_ms)
			forget(o, w);
	}
	if (!o->wishes)
		(void)uv_timer_stop(t);
}

static bool may_now(struct opens *o)
{
	uint64_t now = io_now_ms();

	while (o->tokens < OPENS_BURST && now - o->refilled_ms >= OPENS_REFILL_MS) {
		o->tokens++;
		o->refilled_ms += OPENS_REFILL_MS;
	}
	if (o->tokens == 0)
		return false;
	if (o->tokens == OPENS_BURST)
		o->refilled_ms = now;
	o->tokens--;
	return true;
}

/* What a program calls localhost is its own machine: only what is published of it can be opened here. */
static bool localise(struct opens *o, struct wish *w, char why[WHY_MAX])
{
	unsigned int port = w->url.dest.port;
	struct portmap m;
	const char *host;

	if (!openurl_is_local(&w->url))
		return true;
	if (!ports_find(o->ports, 0, w->url.dest.port, &m)) {
		(void)str_format(why, WHY_MAX, "port %u of the sandbox is not published: on the host, `sbx ports %s --publish %u`", port, o->name,
				 port);
		return false;
	}
	host = str_eq(m.host_ip, "0.0.0.0") ? "127.0.0.1" : str_eq(m.host_ip, "::") ? "::1" : m.host_ip;
	w->local = openurl_move(&w->url, host, m.host_port) == 0;
	if (!w->local)
		(void)str_format(why, WHY_MAX, "it is too long");
	return w->local;
}

static json_t *describe(const struct wish *w, uint64_t now)
{
	return json_pack("{s:I, s:s, s:b, s:I}", "open", (json_int_t)w->id, "url", w->url.text, "local", w->local, "seconds",
			 (json_int_t)(w->until_ms > now ? (w->until_ms - now) / 1000 : 0));
}

static size_t waiting_bytes(const struct opens *o)
{
	size_t n = 0;

	for (const struct wish *w = o->wishes; w; w = w->next)
		n += strlen(w->url.text);
	return n;
}

static bool admit(struct opens *o, struct wish *w, const struct openmsg *m, char why[WHY_MAX])
{
	const char *fault;
	size_t n = opens_count(o);

	if (openurl_parse(m->text, m->n, &w->url, &fault) != OPENURL_OK)
		(void)str_format(why, WHY_MAX, "%s", fault);
	else if (!may_now(o))
		(void)str_format(why, WHY_MAX, "too many URLs: one every %d seconds", OPENS_REFILL_MS / 1000);
	else if (n >= OPENS_WAITING || waiting_bytes(o) + strlen(w->url.text) > OPENS_TEXT_MAX)
		(void)str_format(why, WHY_MAX, "%zu URLs wait already: on the host, `sbx open %s`", n, o->name);
	else
		return localise(o, w, why);
	return false;
}

static void append(struct opens *o, struct wish *w)
{
	struct wish **at = &o->wishes;

	while (*at)
		at = &(*at)->next;
	*at = w;
	if (!uv_is_active((uv_handle_t *)&o->tick))
		(void)uv_timer_start(&o->tick, on_tick, TICK_MS, TICK_MS);
}

static void wished(struct opens *o, const struct openmsg *m)
{
	struct wish *w = calloc(1, sizeof(*w));
	char why[WHY_MAX] = "the host has no memory";
	uint64_t now = io_now_ms();

	if (!w || !admit(o, w, m, why)) {
		free(w);
		tell(o, m->id, why);
		return;
	}
	w->id = ++o->last_id;
	w->guest_id = m->id;
	w->answer_by_ms = now + OPENS_ANSWER_MS;
	w->until_ms = now + OPENS_KEEP_MS;
	append(o, w);
	log_info("event=open id=%u host=%s callback=%u", w->id, w->url.dest.host, (unsigned)w->url.callback.port);
	if (o->ops->offer(o->user, describe(w, now)))
		return;
	explain_waiting(o, why);
	answer(o, w, why);
}

/* --- the stream --- */

static void stream_data(void *user, const uint8_t *bytes, size_t n)
{
	struct opens *o = user;
	struct openmsg m;
	long used = 0;
	int r = buf_append(&o->in, bytes, n);

	door_consume(o->stream, n);
	while (r == 0 && o->stream && (used = openmsg_take(buf_bytes(&o->in), buf_len(&o->in), &m)) > 0) {
		wished(o, &m);
		buf_consume(&o->in, (size_t)used);
	}
	if (r == 0 && used >= 0)
		return;
	log_warn("event=open_broken");
	door_cancel(TAKE_PTR(o->stream));
}

static void stream_eof(void *user)
{
	struct opens *o = user;

	if (o->stream)
		door_cancel(TAKE_PTR(o->stream));
}

static void stream_writable(void *user)
{
	flush_out(user);
}

static void stream_closed(void *user, uint32_t error)
{
	((struct opens *)user)->stream = NULL;
}

static const struct door_stream_ops stream_ops = {
	.data = stream_data, .eof = stream_eof, .writable = stream_writable, .closed = stream_closed,
};

/* --- callbacks --- */

static void callback_over(void *user, struct callback *cb)
{
	struct opens *o = user;

	for (size_t i = 0; i < OPENS_CALLBACKS; i++)
		if (o->callbacks[i] == cb)
			o->callbacks[i] = NULL;
	for (struct wish *w = o->wishes; w; w = w->next)
		if (w->callback == cb)
			w->callback = NULL;
	callback_free(cb);
}

static const struct callback_ops callback_ops = { .over = callback_over };

/* One that a try before this one left on the same port makes room. */
static void close_port(struct opens *o, uint16_t port)
{
	for (size_t i = 0; i < OPENS_CALLBACKS; i++)
		if (o->callbacks[i] && callback_port(o->callbacks[i]) == port)
			callback_over(o, o->callbacks[i]);
}

static int await_callback(struct opens *o, struct wish *w, struct err *err)
{
	struct portmap m;
	size_t i = 0;

	/* Published: it leads there already. */
	if (w->url.callback.port == 0 || ports_find(o->ports, w->url.callback.port, w->url.callback.port, &m))
		return 0;
	close_port(o, w->url.callback.port);
	while (i < OPENS_CALLBACKS && o->callbacks[i])
		i++;
	if (i == OPENS_CALLBACKS)
		return err_set(err, ERR_UNAVAILABLE, EBUSY, "%d sign-ins of this sandbox are under way already", OPENS_CALLBACKS);
	w->callback = o->callbacks[i] = callback_new(o->loop, o->door, &w->url.callback, &callback_ops, o, err);
	return w->callback ? 0 : err_code(err);
}

/* --- for the host --- */

size_t opens_count(const struct opens *o)
{
	size_t n = 0;

	for (const struct wish *w = o ? o->wishes : NULL; w; w = w->next)
		n++;
	return n;
}

json_t *opens_describe(const struct opens *o)
{
	json_t *list = json_array();
	uint64_t now = io_now_ms();

	for (const struct wish *w = o ? o->wishes : NULL; w; w = w->next)
		(void)json_array_append_new(list, describe(w, now));
	return list;
}

int opens_take(struct opens *o, json_int_t id, json_t **ret, struct err *err)
{
	struct wish *w = find(o, id);
	int r;

	if (!w)
		return err_set(err, ERR_NOT_FOUND, ENOENT, "URL %lld does not wait any more", (long long)id);
	if (w->taken_until_ms > io_now_ms())
		return err_set(err, ERR_CONFLICT, EBUSY, "URL %lld is being opened already", (long long)id);
	r = await_callback(o, w, err);
	if (r < 0)
		return r;
	*ret = json_pack("{s:b, s:s, s:b, s:i}", "ok", 1, "url", w->url.text, "local", w->local, "callback", (int)w->url.callback.port);
	if (!*ret)
		return err_errno(err, ENOMEM, "URL");
	w->taken_until_ms = io_now_ms() + OPENS_ANSWER_MS;
	return 0;
}

int opens_done(struct opens *o, json_int_t id, const char *error, bool keep, struct err *err)
{
	struct wish *w = find(o, id);

	if (!w)
		return err_set(err, ERR_NOT_FOUND, ENOENT, "URL %lld does not wait any more", (long long)id);
	log_info("event=open_done id=%u opened=%d", w->id, !error);
	answer(o, w, error);
	w->taken_until_ms = 0;
	if (error && w->callback)
		callback_over(o, w->callback);
	if (!error || !keep)
		forget(o, w);
	return 0;
}

struct opens *opens_new(uv_loop_t *loop, struct door *door, const struct ports *ports, const char *name, const struct opens_ops *ops,
			void *user)
{
	struct opens *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	*o = (struct opens){ .loop = loop, .door = door, .ports = ports, .name = name, .ops = ops, .user = user, .tokens = OPENS_BURST };
	buf_init(&o->in, 2 * OPENMSG_LINE_MAX + H2_PULL_MAX);
	buf_init(&o->out, 64 * (WHY_MAX + 32));
	(void)uv_timer_init(loop, &o->tick);
	o->tick.data = o;
	o->refilled_ms = io_now_ms();
	o->stream = door_open(door, "/open", &stream_ops, o);
	return o;
}

static void on_closed(uv_handle_t *h)
{
	struct opens *o = h->data;

	buf_done(&o->in);
	buf_done(&o->out);
	free(o);
}

void opens_free(struct opens *o)
{
	if (!o)
		return;
	if (o->stream)
		door_cancel(TAKE_PTR(o->stream));
	while (o->wishes)
		forget(o, o->wishes);
	for (size_t i = 0; i < OPENS_CALLBACKS; i++)
		callback_free(TAKE_PTR(o->callbacks[i]));
	(void)uv_timer_stop(&o->tick);
	uv_close((uv_handle_t *)&o->tick, on_closed);
}
