/* SPDX-License-Identifier: Apache-2.0
 *
 * client: see client.h.
 */
#include "vm/client.h"

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
#include "base/str.h"
#include "vm/reach.h"
#include "vm/save.h"
#include "wire/h2.h"
#include "wire/record.h"

#define REQUEST_MAX_BYTES (RECORD_HEAD + RECORD_MAX)
#define STOP_MAX_MS 600000
#define SESSIONS_MS 5000

enum role { ROLE_NEW, ROLE_EXEC, ROLE_WATCH, ROLE_STOP, ROLE_POLICY, ROLE_OPENS, ROLE_SAVE, ROLE_SESSIONS, ROLE_LATER, ROLE_DONE };

struct client {
	struct pump pump;
	struct machine *m;
	struct client *prev, *next;
	enum role role;
	struct buf in;              /* NEW: the request; EXEC: what the guest has not taken */
	struct outq out;            /* to the client; in EXEC only the guest's bytes */
	struct door_stream *stream; /* EXEC; NULL once it has ended */
	bool finishing;             /* close once `out` is empty */
	uint64_t turn;              /* POLICY: which answer of the proxy it waits for */
};

static void drop(struct client *c)
{
	if (c->prev)
		c->prev->next = c->next;
	else
		c->m->clients = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->m->nclients--;
	if (c->role == ROLE_SAVE)
		save_forget(c->m, c);
	if (c->stream) {
		door_cancel(TAKE_PTR(c->stream));
		machine_sessions(c->m, -1);
	}
	c->role = ROLE_DONE;
	if (c->m->nclients == 0)
		machine_drained(c->m);
}

static void finish(struct client *c)
{
	c->finishing = true;
	pump_kick(&c->pump);
}

static void send_json(struct client *c, enum record_type type, json_t *o)
{
	auto_free char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	json_decref(o);
	/* A watcher that does not read loses its connection rather than our memory. */
	if (!text || record_encode(&c->out.queued, type, text, strlen(text)) < 0)
		c->finishing = true;
	pump_kick(&c->pump);
}

static void reply_ok(struct client *c)
{
	send_json(c, RECORD_REPLY, json_pack("{s:b}", "ok", 1));
	finish(c);
}

static void reply_error(struct client *c, enum err_kind kind, const char *message)
{
	send_json(c, RECORD_REPLY, json_pack("{s:{s:s, s:s}}", "error", "kind", err_kind_name(kind), "message", message));
	finish(c);
}

/* --- exec --- */

static void guest_data(void *user, const uint8_t *bytes, size_t n)
{
	struct client *c = user;

	if (outq_append(&c->out, bytes, n) < 0) {
		/* More than the window allows: the guest breaks the protocol. */
		door_cancel(TAKE_PTR(c->stream));
		machine_sessions(c->m, -1);
		finish(c);
		return;
	}
	pump_kick(&c->pump);
}

static void guest_closed(void *user, uint32_t error)
{
	struct client *c = user;

	c->stream = NULL;
	machine_sessions(c->m, -1);
	finish(c);
}

static void guest_eof(void *user)
{
	struct client *c = user;

	door_cancel(TAKE_PTR(c->stream));
	machine_sessions(c->m, -1);
	finish(c);
}

/* Gives the guest what it takes; what is left stays in `in`, and the client is not read meanwhile. */
static void to_guest(struct client *c)
{
	if (c->stream && buf_len(&c->in) > 0)
		buf_consume(&c->in, door_write(c->stream, buf_bytes(&c->in), buf_len(&c->in)));
	pump_set_reading(&c->pump, buf_len(&c->in) == 0);
}

static void guest_writable(void *user)
{
	to_guest(user);
}

static const struct door_stream_ops guest_ops = {
	.data = guest_data, .eof = guest_eof, .writable = guest_writable, .closed = guest_closed,
};

static void begin_exec(struct client *c)
{
	struct machine *m = c->m;

	if (m->state != MACHINE_RUNNING) {
		reply_error(c, ERR_CONFLICT, m->state == MACHINE_STARTING ? "the sandbox is still starting" :
									    "the sandbox is stopping");
		return;
	}
	/* The guest starts none now, and a new one waits no longer than those that it has. */
	if (save_holds(m)) {
		c->role = ROLE_LATER;
		pump_set_reading(&c->pump, false);
		return;
	}
	c->stream = door_open(m->door, "/exec", &guest_ops, c);
	if (!c->stream) {
		reply_error(c, ERR_UNAVAILABLE, "the guest takes no more sessions: end one, or stop the sandbox");
		return;
	}
	c->role = ROLE_EXEC;
	machine_sessions(m, 1);
	to_guest(c);
}

/* --- requests --- */

static void begin_stop(struct client *c, const json_t *req)
{
	json_int_t ms = json_integer_value(json_object_get(req, "timeout_ms"));

	c->role = ROLE_STOP;
	if (json_is_true(json_object_get(req, "discard")))
		machine_throw_away(c->m);
	else
		machine_stop(c->m, ms > 0 && ms <= STOP_MAX_MS ? (uint64_t)ms : c->m->stop_timeout_ms);
}

static void begin_keep(struct client *c, const json_t *req)
{
	c->m->keep = json_is_true(json_object_get(req, "keep"));
	machine_sessions(c->m, 0);
	reply_ok(c);
}

/* The client may have gone meanwhile, so that it is looked for by its turn. */
static void on_sessions(void *user, const json_t *reply, const struct err *err)
{
	struct machine *m = user;
	struct client *c = m->clients;

	while (c && c->role != ROLE_SESSIONS)
		c = c->next;
	if (!c)
		return;
	c->role = ROLE_DONE;
	if (err)
		reply_error(c, err->kind, err->msg);
	else
		send_json(c, RECORD_REPLY, json_pack("{s:b, s:O?}", "ok", 1, "sessions", json_object_get(reply, "sessions")));
	finish(c);
}

static void begin_sessions(struct client *c)
{
	if (c->m->state != MACHINE_RUNNING)
		reply_error(c, ERR_CONFLICT, "the sandbox is starting or stopping: try again");
	else if (door_call(c->m->door, "/sessions", NULL, SESSIONS_MS, on_sessions, c->m) < 0)
		reply_error(c, ERR_UNAVAILABLE, "the guest cannot be reached");
	else
		c->role = ROLE_SESSIONS;
}

static void on_saved(void *user, json_t *reply, const struct err *err)
{
	struct client *c = user;

	c->role = ROLE_DONE;
	if (err)
		reply_error(c, err->kind, err->msg);
	else
		send_json(c, RECORD_REPLY, reply);
	finish(c);
}

static void begin_save(struct client *c, const json_t *req)
{
	const char *into = json_string_value(json_object_get(req, "into"));
	struct save_want want = { .into = into ? into : "", .disk = json_is_true(json_object_get(req, "disk")),
				  .end = json_is_true(json_object_get(req, "end")),
				  .sync = !json_is_false(json_object_get(req, "sync")) };
	struct err err;

	if (save_begin(c->m, &want, on_saved, c, &err) < 0)
		reply_error(c, err.kind, err.msg);
	else
		c->role = ROLE_SAVE;
}

static bool has_network(struct client *c)
{
	if (c->m->net)
		return true;
	reply_error(c, ERR_CONFLICT, "the sandbox has no network door now: it is starting or stopping");
	return false;
}

static void begin_policy(struct client *c)
{
	struct err err;

	if (!has_network(c))
		return;
	if (netdoor_policy(c->m->net, &c->turn, &err) < 0)
		reply_error(c, err.kind, err.msg);
	else
		c->role = ROLE_POLICY;
}

static void begin_pending(struct client *c)
{
	if (!has_network(c))
		return;
	send_json(c, RECORD_REPLY, json_pack("{s:b, s:o}", "ok", 1, "asks", netdoor_pending(c->m->net)));
	finish(c);
}

static void begin_answer(struct client *c, const json_t *req)
{
	const json_t *ask = json_object_get(req, "ask"), *allow = json_object_get(req, "allow");
	struct err err;

	if (!has_network(c))
		return;
	if (!json_is_integer(ask) || !json_is_boolean(allow))
		reply_error(c, ERR_INVALID, "answer needs \"ask\", a number, and \"allow\", true or false");
	else if (netdoor_answer(c->m->net, json_integer_value(ask), json_is_true(allow), &err) < 0)
		reply_error(c, err.kind, err.msg);
	else
		reply_ok(c);
}

static void begin_ports(struct client *c, const json_t *req)
{
	struct portmap_change *change = calloc(1, sizeof(*change));
	struct err err;
	int r;

	if (c->m->state != MACHINE_RUNNING) {
		reply_error(c, ERR_CONFLICT, "the sandbox is starting or stopping: try again");
	} else {
		r = change ? portmap_read_change(req, change, &err) : err_errno(&err, ENOMEM, "cannot publish a port");
		if (r == 0)
			r = ports_apply(c->m->ports, change, &err);
		if (r < 0) {
			reply_error(c, err.kind, err.msg);
		} else {
			send_json(c, RECORD_REPLY, json_pack("{s:b, s:o}", "ok", 1, "ports", ports_describe(c->m->ports)));
			finish(c);
		}
	}
	free(change);
}

static void begin_open_list(struct client *c)
{
	send_json(c, RECORD_REPLY, json_pack("{s:b, s:o}", "ok", 1, "opens", opens_describe(c->m->opens)));
	finish(c);
}

/* take: somebody is about to open it; else it is done. */
static void begin_open(struct client *c, const json_t *req, bool take)
{
	const json_t *id = json_object_get(req, "open"), *error = json_object_get(req, "error");
	json_t *reply = NULL;
	struct err err;
	int r;

	if (!json_is_integer(id) || (error && !json_is_string(error)))
		r = err_set(&err, ERR_INVALID, EINVAL, "\"open\" must be a number, and \"error\", where it is there, a string");
	else if (!c->m->opens)
		r = err_set(&err, ERR_CONFLICT, EAGAIN, "the sandbox is starting or stopping");
	else if (take)
		r = opens_take(c->m->opens, json_integer_value(id), &reply, &err);
	else
		r = opens_done(c->m->opens, json_integer_value(id), json_string_value(error), json_is_true(json_object_get(req, "keep")), &err);
	if (r < 0) {
		reply_error(c, err.kind, err.msg);
	} else if (take) {
		send_json(c, RECORD_REPLY, reply);
		finish(c);
	} else {
		reply_ok(c);
	}
}

static bool is_over(const struct machine *m)
{
	return m->state == MACHINE_STOPPED || m->state == MACHINE_FAILED;
}

static void request(struct client *c, const char *text, size_t n)
{
	json_error_t je;
	json_t *req = json_loadb(text, n, JSON_REJECT_DUPLICATES, &je);
	const char *op = json_string_value(json_object_get(req, "op"));

	c->role = ROLE_DONE;
	if (!op) {
		reply_error(c, ERR_INVALID, "the request must be JSON with an \"op\"");
	} else if (is_over(c->m) && str_eq(op, "watch")) {
		/* A start may fail before whoever asked for it is here. */
		send_json(c, RECORD_EVENT, machine_describe(c->m));
		finish(c);
	} else if (is_over(c->m)) {
		reply_error(c, ERR_CONFLICT, "the sandbox has stopped");
	} else if (str_eq(op, "exec")) {
		begin_exec(c);
	} else if (str_eq(op, "watch")) {
		c->role = ROLE_WATCH;
		send_json(c, RECORD_EVENT, machine_describe(c->m));
	} else if (str_eq(op, "status")) {
		send_json(c, RECORD_REPLY, machine_describe(c->m));
		finish(c);
	} else if (str_eq(op, "reach")) {
		send_json(c, RECORD_REPLY, reach_describe(c->m));
		finish(c);
	} else if (str_eq(op, "stop")) {
		begin_stop(c, req);
	} else if (str_eq(op, "sessions")) {
		begin_sessions(c);
	} else if (str_eq(op, "save")) {
		begin_save(c, req);
	} else if (str_eq(op, "keep")) {
		begin_keep(c, req);
	} else if (str_eq(op, "policy")) {
		begin_policy(c);
	} else if (str_eq(op, "pending")) {
		begin_pending(c);
	} else if (str_eq(op, "answer")) {
		begin_answer(c, req);
	} else if (str_eq(op, "ports")) {
		begin_ports(c, req);
	} else if (str_eq(op, "opens")) {
		c->role = ROLE_OPENS;
	} else if (str_eq(op, "open-list")) {
		begin_open_list(c);
	} else if (str_eq(op, "open-take") || str_eq(op, "open-done")) {
		begin_open(c, req, str_eq(op, "open-take"));
	} else {
		reply_error(c, ERR_INVALID,
			    "unknown op: exec, watch, status, sessions, stop, save, keep, reach, policy, pending, answer, ports, opens, open-list, open-take "
			    "and open-done are known");
	}
	json_decref(req);
}

static int first_record(struct client *c)
{
	struct record rec;
	int used = record_decode(buf_bytes(&c->in), buf_len(&c->in), &rec);
	auto_free char *text = NULL;
	size_t n;

	if (used <= 0)
		return used;
	if (rec.type != RECORD_REQUEST)
		return -EPROTO;
	n = rec.len;
	text = malloc(n + 1);
	if (!text)
		return -ENOMEM;
	memcpy(text, rec.data, n);
	buf_consume(&c->in, (size_t)used);
	request(c, text, n);
	return 0;
}

static int on_bytes(struct pump *p, const uint8_t *bytes, size_t n)
{
	struct client *c = p->user;
	int r;

	if (c->role != ROLE_NEW && c->role != ROLE_EXEC)
		return 0;
	r = buf_append(&c->in, bytes, n);
	if (r < 0)
		return r;
	if (c->role == ROLE_EXEC) {
		to_guest(c);
		return 0;
	}
	return first_record(c);
}

static long on_pull(struct pump *p, const uint8_t **ret)
{
	struct client *c = p->user;
	size_t freed;
	long n = outq_pull(&c->out, ret, &freed);

	if (freed > 0 && c->stream)
		door_consume(c->stream, freed);
	return n == 0 && c->finishing ? -ESHUTDOWN : n;
}

static void on_end(struct pump *p, int error)
{
	drop(p->user);
}

static void on_closed(struct pump *p)
{
	struct client *c = p->user;

	buf_done(&c->in);
	outq_done(&c->out);
	free(c);
}

static const struct pump_ops pump_ops = { .bytes = on_bytes, .pull = on_pull, .end = on_end, .closed = on_closed };

/* --- all of them --- */

static void add(struct machine *m, int fd)
{
	struct client *c;
	uid_t uid;

	if (m->nclients >= CLIENT_MAX || io_peer_uid(fd, &uid) < 0 || (uid != geteuid() && uid != 0)) {
		log_warn("event=client_refused clients=%zu", m->nclients);
		(void)close(fd);
		return;
	}
	c = calloc(1, sizeof(*c));
	if (!c || pump_start(&c->pump, m->loop, fd, &pump_ops, c) < 0) {
		free(c);
		return;
	}
	c->m = m;
	/* EXEC: a chunk that the guest does not take at once lies here on top of a whole request. */
	buf_init(&c->in, 2 * REQUEST_MAX_BYTES);
	outq_init(&c->out, H2_STREAM_WINDOW);
	c->next = m->clients;
	if (c->next)
		c->next->prev = c;
	m->clients = c;
	m->nclients++;
	m->met = true;
}

static void on_connect(uv_poll_t *h, int status, int events)
{
	struct machine *m = h->data;

	for (int i = 0; i < 16; i++) {
		int fd = accept4(m->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		add(m, fd);
	}
}

int client_listen(struct machine *m)
{
	int r = io_set_nonblock(m->listen_fd, true);

	if (r == 0)
		r = uv_poll_init(m->loop, &m->listener, m->listen_fd);
	if (r < 0)
		return r;
	m->listener.data = m;
	return uv_poll_start(&m->listener, UV_READABLE, on_connect);
}

void client_notify_all(struct machine *m)
{
	for (struct client *c = m->clients; c; c = c->next)
		if (c->role == ROLE_WATCH)
			send_json(c, RECORD_EVENT, machine_describe(m));
}

void client_saved(struct machine *m)
{
	for (struct client *c = m->clients, *next; c; c = next) {
		next = c->next;
		if (c->role != ROLE_LATER)
			continue;
		c->role = ROLE_DONE;
		begin_exec(c);
	}
}

void client_policy(struct machine *m, uint64_t turn, int64_t generation, const struct err *err)
{
	for (struct client *c = m->clients; c; c = c->next) {
		if (c->role != ROLE_POLICY || c->turn > turn)
			continue;
		c->role = ROLE_DONE;
		if (err) {
			reply_error(c, err->kind, err->msg);
		} else {
			send_json(c, RECORD_REPLY, json_pack("{s:b, s:I}", "ok", 1, "generation", (json_int_t)generation));
			finish(c);
		}
	}
}

bool client_offer(struct machine *m, json_t *event)
{
	/* New ones stand at the head. */
	for (struct client *c = m->clients; c; c = c->next)
		if (c->role == ROLE_OPENS && !c->finishing) {
			send_json(c, RECORD_EVENT, event);
			return true;
		}
	json_decref(event);
	return false;
}

void client_finish_all(struct machine *m)
{
	for (struct client *c = m->clients; c; c = c->next) {
		if (c->role == ROLE_STOP)
			reply_ok(c);
		else if (c->role == ROLE_POLICY)
			reply_error(c, ERR_CONFLICT, "the sandbox has stopped");
		else if (c->role != ROLE_NEW) /* what is still to come may be the watcher's question how it ended */
			finish(c);
	}
}

void client_close_all(struct machine *m)
{
	while (m->clients) {
		struct client *c = m->clients;

		drop(c);
		pump_stop(&c->pump);
	}
}
