/* SPDX-License-Identifier: Apache-2.0
 *
 * qmp: see qmp.h. Calls are numbered; answers come in order, but the number is what pairs them.
 */
#include "vm/qmp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/outq.h"
#include "base/own.h"
#include "base/pump.h"
#include "vm/fdpass.h"

#define LINE_MAX_BYTES (1024 * 1024)
#define OUT_MAX_BYTES (256 * 1024)
#define MAX_CALLS 128

struct call {
	struct call *next;
	json_int_t id;
	qmp_done done;
	void *user;
};

struct qmp {
	struct pump pump;
	const struct qmp_ops *ops; /* borrowed */
	void *user;
	struct buf in;
	struct outq out;
	struct call *calls; /* owned, in order */
	size_t ncalls;
	json_int_t next_id;
	bool greeted, freed;
	struct buf held; /* calls made before the greeting */
};

/* Calls made before the greeting wait in `held`. */
static int send_json(struct qmp *q, json_t *msg)
{
	auto_free char *text = json_dumps(msg, JSON_COMPACT);
	struct buf *to = q->greeted ? &q->out.queued : &q->held;
	int r;

	if (!text)
		return -ENOMEM;
	r = buf_append_str(to, text);
	return r < 0 ? r : buf_append(to, "\n", 1);
}

static int add_call(struct qmp *q, qmp_done done, void *user)
{
	struct call *c = calloc(1, sizeof(*c)), **at = &q->calls;

	if (!c)
		return -ENOMEM;
	*c = (struct call){ .id = q->next_id++, .done = done, .user = user };
	while (*at)
		at = &(*at)->next;
	*at = c;
	q->ncalls++;
	return 0;
}

int qmp_call(struct qmp *q, const char *command, json_t *args, qmp_done done, void *user)
{
	json_t *msg = json_pack("{s:s, s:I}", "execute", command, "id", q->next_id);
	int r = -EPIPE;

	if (msg && args && json_object_set(msg, "arguments", args) < 0) {
		json_decref(msg);
		msg = NULL;
	}
	json_decref(args);
	if (!msg)
		return -ENOMEM;
	if (q->ncalls >= MAX_CALLS)
		r = -ENOMEM;
	else if (!q->pump.stopped)
		r = send_json(q, msg);
	json_decref(msg);
	if (r == 0)
		r = add_call(q, done, user);
	if (r < 0)
		return r;
	if (q->greeted)
		pump_kick(&q->pump);
	return 0;
}

/* msg is stolen. */
static int give(struct qmp *q, json_t *msg, int fd, qmp_done done, void *user)
{
	auto_free char *text = msg ? json_dumps(msg, JSON_COMPACT) : NULL;
	int r;

	json_decref(msg);
	if (!text)
		return -ENOMEM;
	if (!q->greeted || q->ncalls > 0 || q->pump.stopped || q->pump.out_len > 0)
		return -EAGAIN;
	/* Past the pump: nothing is on its way, so that the socket takes the line whole. */
	r = fdpass_send(q->pump.fd, text, strlen(text), &fd, 1);
	return r < 0 ? r : add_call(q, done, user);
}

int qmp_give_fd(struct qmp *q, int fd, const char *name, qmp_done done, void *user)
{
	return give(q, json_pack("{s:s, s:I, s:{s:s}}", "execute", "getfd", "id", q->next_id, "arguments", "fdname", name), fd, done, user);
}

int qmp_add_fd(struct qmp *q, int fd, int set, qmp_done done, void *user)
{
	return give(q, json_pack("{s:s, s:I, s:{s:i}}", "execute", "add-fd", "id", q->next_id, "arguments", "fdset-id", set), fd, done, user);
}

static void answer(struct qmp *q, const json_t *msg)
{
	json_int_t id = json_integer_value(json_object_get(msg, "id"));
	const json_t *result = json_object_get(msg, "return"), *error = json_object_get(msg, "error");
	const char *text = json_string_value(json_object_get(error, "desc"));

	for (struct call **at = &q->calls; *at; at = &(*at)->next) {
		struct call *c = *at;

		if (c->id != id)
			continue;
		*at = c->next;
		q->ncalls--;
		if (c->done)
			c->done(c->user, result, error ? (text ? text : "unknown error") : NULL);
		free(c);
		return;
	}
}

static int greet(struct qmp *q)
{
	static const char hello[] = "{\"execute\":\"qmp_capabilities\",\"id\":-1}\n";
	int r = outq_append(&q->out, hello, sizeof(hello) - 1);

	q->greeted = true;
	if (r == 0)
		r = outq_append(&q->out, buf_bytes(&q->held), buf_len(&q->held));
	buf_done(&q->held);
	pump_kick(&q->pump);
	return r;
}

static int line(struct qmp *q, const char *text, size_t n)
{
	json_error_t je;
	json_t *msg = json_loadb(text, n, 0, &je);
	const char *event;
	int r = 0;

	if (!msg)
		return -EPROTO;
	event = json_string_value(json_object_get(msg, "event"));
	if (event)
		q->ops->event(q->user, event, json_object_get(msg, "data"));
	else if (json_object_get(msg, "QMP"))
		r = q->greeted ? -EPROTO : greet(q);
	else
		answer(q, msg);
	json_decref(msg);
	return r;
}

static int on_bytes(struct pump *p, const uint8_t *bytes, size_t n)
{
	struct qmp *q = p->user;
	int r = buf_append(&q->in, bytes, n);

	while (r == 0 && !q->pump.stopped) {
		const uint8_t *at = buf_bytes(&q->in), *end = memchr(at, '\n', buf_len(&q->in));

		if (!end)
			break;
		r = line(q, (const char *)at, (size_t)(end - at));
		if (!q->pump.stopped)
			buf_consume(&q->in, (size_t)(end - at) + 1);
	}
	return r;
}

static long on_pull(struct pump *p, const uint8_t **ret)
{
	struct qmp *q = p->user;

	return outq_pull(&q->out, ret, NULL);
}

static void drop_calls(struct qmp *q, const char *error)
{
	while (q->calls) {
		struct call *c = q->calls;

		q->calls = c->next;
		q->ncalls--;
		if (error && c->done)
			c->done(c->user, NULL, error);
		free(c);
	}
}

static void on_end(struct pump *p, int error)
{
	struct qmp *q = p->user;

	log_debug("event=qmp_end error=%d", error);
	drop_calls(q, QMP_ENDED);
	q->ops->end(q->user);
}

static void release(struct qmp *q)
{
	drop_calls(q, NULL);
	buf_done(&q->in);
	outq_done(&q->out);
	buf_done(&q->held);
	free(q);
}

static void on_closed(struct pump *p)
{
	struct qmp *q = p->user;

	if (q->freed)
		release(q);
	else
		q->pump.user = NULL;
}

static const struct pump_ops pump_ops = { .bytes = on_bytes, .pull = on_pull, .end = on_end, .closed = on_closed };

struct qmp *qmp_new(uv_loop_t *loop, int fd, const struct qmp_ops *ops, void *user)
{
	struct qmp *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->ops = ops;
	q->user = user;
	q->next_id = 1;
	buf_init(&q->in, LINE_MAX_BYTES);
	outq_init(&q->out, OUT_MAX_BYTES);
	buf_init(&q->held, OUT_MAX_BYTES);
	if (pump_start(&q->pump, loop, fd, &pump_ops, q) < 0) {
		free(q);
		return NULL;
	}
	return q;
}

void qmp_free(struct qmp *q)
{
	if (!q || q->freed)
		return;
	q->freed = true;
	drop_calls(q, NULL);
	if (!q->pump.stopped)
		pump_stop(&q->pump);
	else if (!q->pump.user)
		release(q); /* closed already */
}
