/* SPDX-License-Identifier: Apache-2.0
 *
 * keeperlink: see keeperlink.h. Enters: the keeper's replies, decoded by wire/keepermsg.
 */
#include "vm/keeperlink.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/env.h"
#include "base/io.h"
#include "base/ondemand.h"
#include "base/own.h"
#include "base/str.h"
#include "wire/keepermsg.h"
#include "wire/oauthmsg.h"

DEFINE_AUTO(json, json_t *, json_decref);

#define READY_MS 5000
#define REPLY_MS 5000

/* A connection, and what ends every wait on it: -1 or 0, nothing does. */
struct line {
	int fd, cancel;
};

static int connect_keeper(int cancel, struct err *err)
{
	auto_free struct env_dirs *dirs = calloc(1, sizeof(*dirs));
	struct ondemand o = {
		.program = "sbx-keeper",
		.name = "keeper",
		.socket = "keeper.sock",
		.packets = true,
		.log = "keeper.log",
		.ready_ms = READY_MS,
		.cancel = cancel,
	};
	int r = dirs ? env_dirs(dirs, err) : err_errno(err, ENOMEM, "the keeper");

	if (r < 0)
		return r;
	o.runtime_dir = dirs->runtime;
	o.state_dir = dirs->state;
	return ondemand_connect(&o, true, NULL, err);
}

/* 0, -ETIMEDOUT, -ECANCELED. */
static int await(const struct line *l, short events, uint64_t end_ms)
{
	struct pollfd p[2] = { { .fd = l->fd, .events = events }, { .fd = l->cancel > 0 ? l->cancel : -1, .events = POLLIN } };
	int n;

	do {
		uint64_t now = io_now_ms();

		n = poll(p, 2, end_ms > now ? (int)(end_ms - now) : 0);
	} while (n < 0 && errno == EINTR);
	return n <= 0 ? -ETIMEDOUT : p[1].revents ? -ECANCELED : 0;
}

/* One message, one reply, of which *ret_n bytes come into in (KEEPERMSG_MAX_BYTES). -ECONNRESET: the keeper ended, perhaps because nobody
 * had needed it for long. */
static int exchange(const struct line *l, const struct buf *out, char *in, size_t *ret_n, struct err *err)
{
	uint64_t end = io_now_ms() + REPLY_MS;
	ssize_t n = 0;
	int r = await(l, POLLOUT, end);

	if (r == 0 && send(l->fd, buf_bytes(out), buf_len(out), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		r = errno == EPIPE ? -ECONNRESET : errno == EAGAIN ? -ETIMEDOUT : -errno;
	if (r < 0)
		return err_errno(err, -r, "cannot ask sbx-keeper");
	/* That something has changed is news to nobody here. */
	do
		if ((r = await(l, POLLIN, end)) == 0)
			n = recv(l->fd, in, KEEPERMSG_MAX_BYTES, MSG_DONTWAIT);
	while (r == 0 && ((n < 0 && errno == EINTR) || (n > 0 && secretmsg_is_changed(in, (size_t)n))));
	if (r < 0 || n <= 0)
		return err_errno(err, r < 0 ? -r : n == 0 ? ECONNRESET : errno, "sbx-keeper did not answer");
	*ret_n = (size_t)n;
	return 0;
}

static int ask(const struct line *l, const struct keepermsg_request *q, struct keepermsg_reply *ret, struct err *err)
{
	auto_free char *in = malloc(KEEPERMSG_MAX_BYTES);
	struct buf out;
	size_t n;
	int r;

	if (!in)
		return err_errno(err, ENOMEM, "the keeper");
	buf_init(&out, KEEPERMSG_MAX_BYTES);
	r = keepermsg_encode(q, &out);
	r = r < 0 ? err_errno(err, -r, "cannot ask sbx-keeper") : exchange(l, &out, in, &n, err);
	buf_done(&out);
	if (r == 0 && (r = keepermsg_decode_reply(q->op, in, n, ret, err)) < 0)
		(void)err_wrap(err, "sbx-keeper");
	return r;
}

/* Also where there is nothing: nobody can say it later. */
static int define(const struct line *l, const json_t *signins, struct err *err)
{
	auto_free struct oauthmsg_request *q = calloc(1, sizeof(*q));
	auto_free char *in = malloc(KEEPERMSG_MAX_BYTES);
	struct buf out;
	size_t n;
	int r = 0;

	if (!q || !in)
		return err_errno(err, ENOMEM, "the keeper");
	q->op = OAUTHMSG_DEFINE;
	if (signins)
		r = oauthdef_read_list(signins, &q->services, err);
	if (r < 0)
		return r;
	buf_init(&out, KEEPERMSG_MAX_BYTES);
	r = oauthmsg_encode(q, &out);
	r = r < 0 ? err_errno(err, -r, "cannot ask sbx-keeper") : exchange(l, &out, in, &n, err);
	buf_done(&out);
	return r == 0 ? secretmsg_decode_ok(in, n, err) : r;
}

/* What the guest is to have of one; NULL. */
static json_t *given(const struct line *at, const char *service, const char *sandbox)
{
	auto_free struct oauthmsg_request *q = calloc(1, sizeof(*q));
	auto_free struct oauthmsg_given *g = calloc(1, sizeof(*g));
	auto_free char *in = malloc(KEEPERMSG_MAX_BYTES);
	json_t *ret = NULL;
	struct buf out;
	size_t n;

	if (!q || !g || !in)
		return NULL;
	q->op = OAUTHMSG_GIVE;
	(void)str_format(q->service, sizeof(q->service), "%s", service);
	(void)str_format(q->sandbox, sizeof(q->sandbox), "%s", sandbox);
	buf_init(&out, KEEPERMSG_MAX_BYTES);
	if (oauthmsg_encode(q, &out) == 0 && exchange(at, &out, in, &n, NULL) == 0 && oauthmsg_decode_given(in, n, g, NULL) == 0)
		ret = json_pack("{s:s, s:s, s:s}", "access", g->access, "refresh", g->refresh, "id", g->id);
	buf_done(&out);
	return ret;
}

/* The sign-ins that are in force, which an agent's files may depend on. What cannot be told is none. */
static json_t *signed_in(const struct line *at, const char *sandbox)
{
	auto_free struct secretmsg_list *l = calloc(1, sizeof(*l));
	auto_free char *in = malloc(KEEPERMSG_MAX_BYTES);
	json_t *all = json_object();
	struct err err = { 0 };
	struct buf out;
	size_t n;

	buf_init(&out, 256);
	if (l && in && secretmsg_encode(&(struct secretmsg_request){ .op = SECRETMSG_BINDINGS }, &out) == 0 &&
	    exchange(at, &out, in, &n, &err) == 0 && secretmsg_decode_list(in, n, l, &err) == 0)
		for (size_t i = 0; i < l->n; i++)
			if (l->of[i].refresh[0])
				(void)json_object_set_new(all, l->of[i].name, given(at, l->of[i].name, sandbox));
	buf_done(&out);
	return all;
}

static int attach(const struct keepermsg_request *q, const json_t *signins, int cancel, struct keepermsg_reply *ret, json_t **ret_names,
		  struct err *err)
{
	auto_fd int fd = connect_keeper(cancel, err);
	const struct line l = { fd, cancel };
	int r;

	if (fd < 0)
		return fd;
	r = ask(&l, q, ret, err);
	if (r < 0)
		return r;
	if (ret->error.kind != ERR_NONE)
		return err_set(err, ret->error.kind, 0, "sbx-keeper: %s", ret->error.msg);
	r = define(&l, signins, err);
	if (r < 0)
		return r;
	json_decref(*ret_names);
	*ret_names = signed_in(&l, q->sandbox);
	return TAKE_FD(fd);
}

/* 0, and what is there in *ret, owned by the caller. */
static int attach_to(const char *sandbox_id, const json_t *signins, int cancel, struct keeperlink_got *ret, struct err *err)
{
	auto_free struct keepermsg_reply *reply = calloc(1, sizeof(*reply));
	struct keepermsg_request q = { .op = KEEPERMSG_ATTACH };
	auto_(json) json_t *names = NULL;
	char *ca = NULL;
	int fd;

	if (str_format(q.sandbox, sizeof(q.sandbox), "%s", sandbox_id) < 0 || !keepermsg_id_ok(q.sandbox))
		return err_set(err, ERR_INVALID, EINVAL, "the sandbox's id is no UUID");
	if (!reply)
		return err_errno(err, ENOMEM, "the keeper");
	fd = attach(&q, signins, cancel, reply, &names, err);
	if (fd == -ECONNRESET)
		fd = attach(&q, signins, cancel, reply, &names, err);
	if (fd < 0)
		return fd;
	ca = strdup(reply->ca);
	if (!ca) {
		(void)close(fd);
		return err_errno(err, ENOMEM, "the keeper");
	}
	*ret = (struct keeperlink_got){ .fd = fd, .ca = ca, .signed_in = TAKE_PTR(names) };
	memcpy(ret->ca_hash, reply->ca_hash, KEEPERMSG_HASH);
	return 0;
}

int keeperlink_attach(const char *sandbox_id, const json_t *signins, char **ret_ca, char ret_hash[KEEPERMSG_HASH], json_t **ret_signed_in,
		      struct err *err)
{
	struct keeperlink_got got;
	int r = attach_to(sandbox_id, signins, 0, &got, err);

	if (r < 0)
		return r;
	*ret_ca = got.ca;
	memcpy(ret_hash, got.ca_hash, KEEPERMSG_HASH);
	if (ret_signed_in)
		*ret_signed_in = got.signed_in;
	else
		json_decref(got.signed_in);
	return got.fd;
}

/* --- from a loop that must not wait --- */

struct keeperlink_try {
	uv_work_t work;
	char sandbox_id[64];
	json_t *signins; /* owned, a copy: the worker alone reads it */
	int cancel;      /* owned */
	keeperlink_done *done; /* NULL: cancelled */
	void *user;
	int r;
	struct keeperlink_got got;
	struct err err;
};

static void on_work(uv_work_t *w)
{
	struct keeperlink_try *t = container_of(w, struct keeperlink_try, work);

	t->r = attach_to(t->sandbox_id, t->signins, t->cancel, &t->got, &t->err);
}

static void try_free(struct keeperlink_try *t)
{
	if (t->cancel >= 0)
		(void)close(t->cancel);
	json_decref(t->signins);
	free(t);
}

static void on_worked(uv_work_t *w, int status)
{
	struct keeperlink_try *t = container_of(w, struct keeperlink_try, work);

	if (t->done) {
		t->done(t->user, t->r == 0 ? &t->got : NULL, &t->err);
	} else if (status == 0 && t->r == 0) {
		(void)close(t->got.fd);
		free(t->got.ca);
		json_decref(t->got.signed_in);
	}
	try_free(t);
}

struct keeperlink_try *keeperlink_start(uv_loop_t *loop, const char *sandbox_id, const json_t *signins, keeperlink_done *done, void *user)
{
	struct keeperlink_try *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->done = done;
	t->user = user;
	t->signins = json_deep_copy(signins);
	t->cancel = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->cancel < 0 || str_format(t->sandbox_id, sizeof(t->sandbox_id), "%s", sandbox_id) < 0 ||
	    uv_queue_work(loop, &t->work, on_work, on_worked) < 0) {
		try_free(t);
		return NULL;
	}
	return t;
}

void keeperlink_cancel(struct keeperlink_try *t)
{
	if (!t)
		return;
	t->done = NULL;
	(void)eventfd_write(t->cancel, 1);
	(void)uv_cancel((uv_req_t *)&t->work);
}
