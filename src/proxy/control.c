/* SPDX-License-Identifier: Apache-2.0
 *
 * control: see control.h. A descriptor that came with a message is owned by the message until an op takes it.
 */
#include "proxy/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "base/err.h"
#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "policy/snapshot.h"
#include "proxy/decide.h"
#include "proxy/intercept.h"
#include "proxy/listen.h"
#include "proxy/proxy.h"
#include "proxy/resolve.h"
#include "proxy/upstream.h"

#define PER_TURN 16
#define SERVERS_READ 16

/* An event that the socket has not taken yet. */
struct waiting {
	STAILQ_ENTRY(waiting) link;
	size_t n;
	char text[];
};

struct control {
	uv_poll_t poll;
	STAILQ_HEAD(, waiting) waiting;
	size_t nwaiting;
	struct proxy *proxy;
	int fd; /* owned */
	bool freed;
};

/* One message; ops take fd by TAKE_FD. */
struct message {
	const json_t *json;
	int fd; /* -1: none */
};

/* --- what can be said --- */

static int op_config(struct proxy *p, struct message *m, struct err *err)
{
	const char *id = json_string_value(json_object_get(m->json, "id"));
	const char *name = json_string_value(json_object_get(m->json, "name"));
	const json_t *seconds = json_object_get(m->json, "ask_seconds");
	const json_t *last = json_object_get(m->json, "last_ask");
	json_int_t ask = seconds ? json_integer_value(seconds) : DECIDE_ASK_SECONDS;

	if (!id || !name)
		return err_set(err, ERR_INVALID, 0, "config needs id and name");
	if (ask < 1 || ask > DECIDE_ASK_SECONDS_MAX)
		return err_set(err, ERR_INVALID, 0, "ask_seconds is from 1 to %d", DECIDE_ASK_SECONDS_MAX);
	if (last && (!json_is_integer(last) || json_integer_value(last) < 0))
		return err_set(err, ERR_INVALID, 0, "last_ask is no number of a question");
	for (const char *s = id; *s; s++)
		if (*s < 0x20 || *s > 0x7e || *s == '"' || *s == '\\')
			return err_set(err, ERR_INVALID, 0, "the id is not plain");
	if (upstream_read(json_object_get(m->json, "upstream"), p->upstream, err) < 0)
		return err_code(err);
	if (json_is_true(json_object_get(m->json, "keeper")))
		intercept_await_keeper(p);
	journal_set_sandbox(p->journal, id);
	decide_set_sandbox(p->decide, name);
	decide_set_ask_seconds(p->decide, (unsigned int)ask);
	decide_set_last_ask(p->decide, (uint64_t)json_integer_value(last));
	return 0;
}

static int load_policy(int fd, struct policy **ret, struct err *err)
{
	struct buf text;
	int r;

	buf_init(&text, SNAPSHOT_MAX_BYTES);
	(void)lseek(fd, 0, SEEK_SET);
	r = io_read_to_end(fd, &text);
	if (r < 0)
		r = err_errno(err, -r, "the policy cannot be read");
	else
		r = snapshot_load((const char *)buf_bytes(&text), buf_len(&text), ret, err);
	buf_done(&text);
	return r;
}

static int op_policy(struct proxy *p, struct message *m, struct err *err)
{
	struct policy *policy;
	json_int_t generation;

	if (load_policy(m->fd, &policy, err) < 0) {
		proxy_event(p, json_pack("{s:s, s:s}", "event", "policy_error", "message", err->msg));
		return 0;
	}
	generation = (json_int_t)policy->generation;
	decide_set_policy(p->decide, policy);
	proxy_event(p, json_pack("{s:s, s:I}", "event", "policy", "generation", generation));
	return 0;
}

static int op_log(struct proxy *p, struct message *m, struct err *err)
{
	journal_set_fd(p->journal, TAKE_FD(m->fd));
	return 0;
}

static int op_trust(struct proxy *p, struct message *m, struct err *err)
{
	intercept_set_trust(p, TAKE_FD(m->fd));
	return 0;
}

static int op_keeper(struct proxy *p, struct message *m, struct err *err)
{
	intercept_set_keeper(p, TAKE_FD(m->fd));
	return 0;
}

static int op_resolver(struct proxy *p, struct message *m, struct err *err)
{
	const json_t *list = json_object_get(m->json, "servers"), *one;
	const char *servers[SERVERS_READ];
	size_t i, n = 0;

	json_array_foreach(list, i, one) {
		if (!json_is_string(one))
			return err_set(err, ERR_INVALID, 0, "servers must be strings");
		if (n < SERVERS_READ)
			servers[n++] = json_string_value(one);
	}
	return resolve_set_servers(p->resolve, servers, n, err);
}

static int op_answer(struct proxy *p, struct message *m, struct err *err)
{
	const json_t *ask = json_object_get(m->json, "ask"), *allow = json_object_get(m->json, "allow");

	if (!json_is_integer(ask) || !json_is_boolean(allow))
		return err_set(err, ERR_INVALID, 0, "answer needs ask and allow");
	decide_answer(p->decide, (uint64_t)json_integer_value(ask), json_is_true(allow));
	return 0;
}

static int op_listen(struct proxy *p, struct message *m, struct err *err)
{
	const char *entry = json_string_value(json_object_get(m->json, "entry"));

	if (!entry || !str_eq(entry, "forward"))
		return err_set(err, ERR_INVALID, 0, "listen needs the entry \"forward\"");
	return listens_add(p->listens, TAKE_FD(m->fd), err);
}

static const struct {
	const char *name;
	bool fd; /* comes with a descriptor */
	int (*run)(struct proxy *p, struct message *m, struct err *err);
} ops[] = {
	{ "config", false, op_config },     { "policy", true, op_policy },   { "log", true, op_log },
	{ "trust", true, op_trust },        { "keeper", true, op_keeper },   { "resolver", false, op_resolver },
	{ "answer", false, op_answer },     { "listen", true, op_listen },
};

static int dispatch(struct proxy *p, struct message *m, struct err *err)
{
	const char *name = json_string_value(json_object_get(m->json, "op"));

	for (size_t i = 0; name && i < ARRAY_LEN(ops); i++)
		if (str_eq(ops[i].name, name)) {
			if (ops[i].fd != (m->fd >= 0))
				return err_set(err, ERR_INVALID, 0, "%s comes %s a descriptor", name, ops[i].fd ? "with" : "without");
			return ops[i].run(p, m, err);
		}
	return err_set(err, ERR_INVALID, 0, "unknown op");
}

/* --- the socket --- */

static void take_message(struct control *c, const char *bytes, size_t n, int fd)
{
	struct message m = { .fd = fd };
	struct err err = { 0 };
	json_error_t je;
	json_t *json = json_loadb(bytes, n, JSON_REJECT_DUPLICATES, &je);

	m.json = json;
	if (!json_is_object(json))
		(void)err_set(&err, ERR_INVALID, 0, "a message that is no JSON object");
	else
		(void)dispatch(c->proxy, &m, &err);
	if (err.kind && !c->freed)
		log_warn("event=control_refused error=\"%s\"", err.msg);
	if (m.fd >= 0)
		(void)close(m.fd);
	json_decref(json);
}

/* The first descriptor of a message, -1 for none; all others are closed. */
static int take_fds(struct msghdr *msg)
{
	int first = -1;

	for (struct cmsghdr *cm = CMSG_FIRSTHDR(msg); cm; cm = CMSG_NXTHDR(msg, cm)) {
		size_t n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cm) + i * sizeof(int), sizeof(fd));
			if (first < 0)
				first = fd;
			else
				(void)close(fd);
		}
	}
	return first;
}

/* false: nothing more now, or the end. */
static bool receive(struct control *c)
{
	static char bytes[CONTROL_MESSAGE_MAX];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * 4)];
	} space;
	struct iovec iov = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &space, .msg_controllen = sizeof(space) };
	ssize_t n = recvmsg(c->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	int fd;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		proxy_end(c->proxy, "the control socket ended");
		return false;
	}
	fd = take_fds(&msg);
	if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		log_warn("event=control_refused error=\"a message that is too long\"");
		if (fd >= 0)
			(void)close(fd);
		return true;
	}
	take_message(c, bytes, (size_t)n, fd);
	return !c->freed;
}

static void on_poll(uv_poll_t *h, int status, int events);

/* false: there is no room. What fails otherwise is lost with the socket, which the loop notices. */
static bool try_send(struct control *c, const char *text, size_t n)
{
	ssize_t r;

	do
		r = send(c->fd, text, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (r < 0 && errno == EINTR);
	if (r < 0 && (errno == EAGAIN || errno == ENOBUFS))
		return false;
	if (r < 0)
		log_warn("event=control_lost error=%d", errno);
	return true;
}

static void drop_first(struct control *c)
{
	struct waiting *w = STAILQ_FIRST(&c->waiting);

	STAILQ_REMOVE_HEAD(&c->waiting, link);
	c->nwaiting--;
	free(w);
}

static void send_waiting(struct control *c)
{
	struct waiting *w;

	while ((w = STAILQ_FIRST(&c->waiting)) && try_send(c, w->text, w->n))
		drop_first(c);
	if (!w)
		(void)uv_poll_start(&c->poll, UV_READABLE, on_poll);
}

/* Queues the event behind those that wait. */
static void wait_for_room(struct control *c, const char *text)
{
	size_t n = strlen(text);
	struct waiting *w = c->nwaiting < CONTROL_WAITING_MAX ? malloc(sizeof(*w) + n) : NULL;

	if (!w) {
		proxy_end(c->proxy, "nobody reads what the control socket says");
		return;
	}
	w->n = n;
	memcpy(w->text, text, n);
	STAILQ_INSERT_TAIL(&c->waiting, w, link);
	c->nwaiting++;
	(void)uv_poll_start(&c->poll, UV_READABLE | UV_WRITABLE, on_poll);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
	struct control *c = container_of(h, struct control, poll);

	if (status < 0) {
		proxy_end(c->proxy, "the control socket failed");
		return;
	}
	if (events & UV_WRITABLE)
		send_waiting(c);
	if (!(events & UV_READABLE))
		return;
	for (int i = 0; i < PER_TURN && receive(c); i++)
		;
}

void control_send(struct control *c, json_t *event)
{
	char *text = event ? json_dumps(event, JSON_COMPACT) : NULL;

	if (!text)
		proxy_end(c->proxy, "an event cannot be told: out of memory");
	else if (c->nwaiting > 0 || !try_send(c, text, strlen(text)))
		wait_for_room(c, text);
	free(text);
	json_decref(event);
}

struct control *control_new(struct proxy *p, int fd)
{
	struct control *c = calloc(1, sizeof(*c));

	if (!c || uv_poll_init(p->loop, &c->poll, fd) < 0) {
		free(c);
		(void)close(fd);
		return NULL;
	}
	STAILQ_INIT(&c->waiting);
	c->proxy = p;
	c->fd = fd;
	(void)uv_poll_start(&c->poll, UV_READABLE, on_poll);
	return c;
}

static void on_closed(uv_handle_t *h)
{
	free(container_of((uv_poll_t *)h, struct control, poll));
}

void control_free(struct control *c)
{
	if (!c)
		return;
	c->freed = true;
	while (c->nwaiting > 0)
		drop_first(c);
	(void)uv_poll_stop(&c->poll);
	uv_close((uv_handle_t *)&c->poll, on_closed);
	(void)close(c->fd);
}
