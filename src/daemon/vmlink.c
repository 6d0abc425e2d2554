/* SPDX-License-Identifier: Apache-2.0
 *
 * vmlink: see vmlink.h. The memory is held by two handles, the pump and the timer, and goes when both are closed.
 */
#include "daemon/vmlink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/outq.h"
#include "base/own.h"
#include "base/pump.h"
#include "base/str.h"
#include "wire/record.h"

struct vmlink {
	struct pump pump;
	uv_timer_t timer;
	struct buf in;
	struct outq out;
	const struct vmlink_ops *ops; /* borrowed */
	void *user;
	unsigned handles; /* not yet closed */
	bool ended;
};

static void let_go(struct vmlink *l)
{
	if (--l->handles > 0)
		return;
	buf_done(&l->in);
	outq_done(&l->out);
	free(l);
}

static void on_timer_closed(uv_handle_t *h)
{
	let_go(h->data);
}

static void on_pump_closed(struct pump *p)
{
	let_go(p->user);
}

void vmlink_close(struct vmlink *l)
{
	if (!l || l->ended)
		return;
	l->ended = true;
	pump_stop(&l->pump);
	uv_close((uv_handle_t *)&l->timer, on_timer_closed);
}

static void finish(struct vmlink *l, int error)
{
	if (l->ended)
		return;
	vmlink_close(l);
	l->ops->end(l->user, error);
}

static int on_record(struct vmlink *l, const struct record *rec)
{
	json_t *body;

	if (rec->type != RECORD_EVENT && rec->type != RECORD_REPLY)
		return -EPROTO;
	body = json_loadb((const char *)rec->data, rec->len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(body)) {
		json_decref(body);
		return -EPROTO;
	}
	l->ops->message(l->user, body);
	json_decref(body);
	return 0;
}

static int on_bytes(struct pump *p, const uint8_t *bytes, size_t n)
{
	struct vmlink *l = p->user;

	while (n > 0 && !l->ended) {
		size_t take = n < buf_room(&l->in) ? n : buf_room(&l->in);
		struct record rec;
		int used;

		if (buf_append(&l->in, bytes, take) < 0)
			return -ENOMEM;
		bytes += take;
		n -= take;
		while ((used = record_decode(buf_bytes(&l->in), buf_len(&l->in), &rec)) > 0) {
			int r = on_record(l, &rec);

			if (r < 0 || l->ended)
				return r;
			buf_consume(&l->in, (size_t)used);
		}
		if (used < 0)
			return used;
	}
	return 0;
}

static long on_pull(struct pump *p, const uint8_t **ret)
{
	struct vmlink *l = p->user;

	return outq_pull(&l->out, ret, NULL);
}

static void on_end(struct pump *p, int error)
{
	finish(p->user, error);
}

static const struct pump_ops pump_ops = {
	.bytes = on_bytes,
	.pull = on_pull,
	.end = on_end,
	.closed = on_pump_closed,
};

static void on_timeout(uv_timer_t *t)
{
	finish(t->data, -ETIMEDOUT);
}

/* io_unix_connect waits where the backlog is full; a supervisor that hangs must not hold the daemon. */
static int connect_now(int dirfd, const char *id)
{
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	if (fd < 0)
		return -errno;
	if (str_format(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/%s.sock", dirfd, id) < 0)
		return -ENAMETOOLONG;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static int queue_request(struct vmlink *l, const json_t *request)
{
	auto_free char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	struct buf one;
	int r;

	if (!text)
		return -ENOMEM;
	buf_init(&one, RECORD_HEAD + RECORD_MAX);
	r = record_encode(&one, RECORD_REQUEST, text, strlen(text));
	if (r == 0)
		r = outq_append(&l->out, buf_bytes(&one), buf_len(&one));
	buf_done(&one);
	return r;
}

/* Connects, queues the request and starts the pump, which owns the socket from then on. */
static int dial(struct vmlink *l, const struct vmlink_call *call)
{
	int fd, r = queue_request(l, call->request);

	if (r < 0)
		return r;
	fd = connect_now(call->vm_dirfd, call->id);
	return fd < 0 ? fd : pump_start(&l->pump, call->loop, fd, &pump_ops, l);
}

struct vmlink *vmlink_open(const struct vmlink_call *call, const struct vmlink_ops *ops, void *user, struct err *err)
{
	struct vmlink *l = calloc(1, sizeof(*l));
	int r;

	if (!l) {
		json_decref(call->request);
		(void)err_errno(err, ENOMEM, "sandbox %s", call->id);
		return NULL;
	}
	l->ops = ops;
	l->user = user;
	buf_init(&l->in, RECORD_HEAD + RECORD_MAX);
	outq_init(&l->out, RECORD_HEAD + RECORD_MAX);
	r = dial(l, call);
	json_decref(call->request);
	if (r < 0) {
		(void)err_errno(err, -r, "cannot reach the supervisor of sandbox %s", call->id);
		outq_done(&l->out);
		free(l);
		return NULL;
	}
	(void)uv_timer_init(call->loop, &l->timer);
	l->timer.data = l;
	l->handles = 2;
	if (call->timeout_ms > 0)
		(void)uv_timer_start(&l->timer, on_timeout, call->timeout_ms, 0);
	return l;
}

/* A question. */

struct ask {
	struct vmlink *link;
	void (*done)(void *user, json_t *reply, const struct err *err);
	void *user;
};

static void ask_message(void *user, json_t *body)
{
	struct ask *a = user;
	json_t *error = json_object_get(body, "error");
	struct err err = { 0 };

	vmlink_close(a->link);
	/* A failed machine reports its state with an error in it; only an answer without a state is a refusal. */
	if (error && !json_object_get(body, "state")) {
		vmlink_error(error, &err);
		a->done(a->user, NULL, &err);
	} else {
		a->done(a->user, body, NULL);
	}
	free(a);
}

static void ask_end(void *user, int error)
{
	struct ask *a = user;
	struct err err = { 0 };

	if (error == -ETIMEDOUT)
		(void)err_set(&err, ERR_TIMEOUT, ETIMEDOUT, "its supervisor does not answer");
	else
		(void)err_set(&err, ERR_UNAVAILABLE, error ? -error : EPIPE, "its supervisor ended before it answered");
	a->done(a->user, NULL, &err);
	free(a);
}

static const struct vmlink_ops ask_ops = { .message = ask_message, .end = ask_end };

int vmlink_ask(const struct vmlink_call *call, void (*done)(void *user, json_t *reply, const struct err *err),
	       void *user, struct err *err)
{
	struct ask *a = calloc(1, sizeof(*a));

	if (!a) {
		json_decref(call->request);
		return err_errno(err, ENOMEM, "sandbox %s", call->id);
	}
	a->done = done;
	a->user = user;
	a->link = vmlink_open(call, &ask_ops, a, err);
	if (a->link)
		return 0;
	free(a);
	return err ? err_code(err) : -EIO;
}

void vmlink_error(const json_t *error, struct err *ret)
{
	const char *kind = json_string_value(json_object_get(error, "kind"));
	const char *message = json_string_value(json_object_get(error, "message"));
	char shown[400];

	if (!message)
		message = "failed without a reason";
	str_escape(shown, sizeof(shown), message, strlen(message));
	(void)err_set(ret, kind ? err_kind_from_name(kind) : ERR_INTERNAL, 0, "%s", shown);
}
