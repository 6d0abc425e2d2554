/* SPDX-License-Identifier: Apache-2.0
 *
 * keeperlink: see keeperlink.h. Enters: the keeper's replies, decoded by wire/keepermsg.
 */
#include "vm/keeperlink.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/env.h"
#include "base/ondemand.h"
#include "base/own.h"
#include "base/str.h"
#include "wire/keepermsg.h"
#include "wire/oauthmsg.h"

DEFINE_AUTO(json, json_t *, json_decref);

#define READY_MS 5000
#define REPLY_S 5

static int connect_keeper(struct err *err)
{
	auto_free struct env_dirs *dirs = calloc(1, sizeof(*dirs));
	struct ondemand o = {
		.program = "sbx-keeper",
		.name = "keeper",
		.socket = "keeper.sock",
		.packets = true,
		.log = "keeper.log",
		.ready_ms = READY_MS,
	};
	const struct timeval within = { .tv_sec = REPLY_S };
	int r = dirs ? env_dirs(dirs, err) : err_errno(err, ENOMEM, "the keeper"), fd;

	if (r < 0)
		return r;
	o.runtime_dir = dirs->runtime;
	o.state_dir = dirs->state;
	fd = ondemand_connect(&o, true, NULL, err);
	if (fd >= 0) {
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &within, sizeof(within));
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &within, sizeof(within));
	}
	return fd;
}

/* One message, one reply, of which *ret_n bytes come into in (KEEPERMSG_MAX_BYTES). -ECONNRESET: the keeper ended, perhaps because nobody
 * had needed it for long. */
static int exchange(int fd, const struct buf *out, char *in, size_t *ret_n, struct err *err)
{
	ssize_t n;
	int r = 0;

	if (send(fd, buf_bytes(out), buf_len(out), MSG_NOSIGNAL) < 0)
		r = errno == EPIPE ? -ECONNRESET : errno == EAGAIN ? -ETIMEDOUT : -errno;
	if (r < 0)
		return err_errno(err, -r, "cannot ask sbx-keeper");
	/* That something has changed is news to nobody here. */
	do
		n = recv(fd, in, KEEPERMSG_MAX_BYTES, 0);
	while ((n < 0 && errno == EINTR) || (n > 0 && secretmsg_is_changed(in, (size_t)n)));
	if (n <= 0)
		return err_errno(err, n == 0 ? ECONNRESET : errno == EAGAIN ? ETIMEDOUT : errno,
				 "sbx-keeper did not answer");
	*ret_n = (size_t)n;
	return 0;
}

static int ask(int fd, const struct keepermsg_request *q, struct keepermsg_reply *ret, struct err *err)
{
	auto_free char *in = malloc(KEEPERMSG_MAX_BYTES);
	struct buf out;
	size_t n;
	int r;

	if (!in)
		return err_errno(err, ENOMEM, "the keeper");
	buf_init(&out, KEEPERMSG_MAX_BYTES);
	r = keepermsg_encode(q, &out);
	r = r < 0 ? err_errno(err, -r, "cannot ask sbx-keeper") : exchange(fd, &out, in, &n, err);
	buf_done(&out);
	if (r == 0 && (r = keepermsg_decode_reply(q->op, in, n, ret, err)) < 0)
		(void)err_wrap(err, "sbx-keeper");
	return r;
}

/* Also where there is nothing: nobody can say it later. */
static int define(int fd, const json_t *signins, struct err *err)
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
	r = r < 0 ? err_errno(err, -r, "cannot ask sbx-keeper") : exchange(fd, &out, in, &n, err);
	buf_done(&out);
	return r == 0 ? secretmsg_decode_ok(in, n, err) : r;
}

/* The sign-ins that are in force, which an agent's files may depend on. What cannot be told is none. */
static json_t *signed_in(int fd)
{
	auto_free struct secretmsg_list *l = calloc(1, sizeof(*l));
	auto_free char *in = malloc(KEEPERMSG_MAX_BYTES);
	json_t *names = json_array();
	struct err err = { 0 };
	struct buf out;
	size_t n;

	buf_init(&out, 256);
	if (l && in && secretmsg_encode(&(struct secretmsg_request){ .op = SECRETMSG_BINDINGS }, &out) == 0 &&
	    exchange(fd, &out, in, &n, &err) == 0 && secretmsg_decode_list(in, n, l, &err) == 0)
		for (size_t i = 0; i < l->n; i++)
			if (l->of[i].refresh[0])
				(void)json_array_append_new(names, json_string(l->of[i].name));
	buf_done(&out);
	return names;
}

static int attach(const struct keepermsg_request *q, const json_t *signins, struct keepermsg_reply *ret, json_t **ret_names, struct err *err)
{
	const struct timeval none = { 0 };
	auto_fd int fd = connect_keeper(err);
	int r;

	if (fd < 0)
		return fd;
	r = ask(fd, q, ret, err);
	if (r < 0)
		return r;
	if (ret->error.kind != ERR_NONE)
		return err_set(err, ret->error.kind, 0, "sbx-keeper: %s", ret->error.msg);
	r = define(fd, signins, err);
	if (r < 0)
		return r;
	json_decref(*ret_names);
	*ret_names = signed_in(fd);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none));
	return TAKE_FD(fd);
}

int keeperlink_attach(const char *sandbox_id, const json_t *signins, char **ret_ca, char ret_hash[KEEPERMSG_HASH], json_t **ret_signed_in,
		      struct err *err)
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
	fd = attach(&q, signins, reply, &names, err);
	if (fd == -ECONNRESET)
		fd = attach(&q, signins, reply, &names, err);
	if (fd < 0)
		return fd;
	ca = strdup(reply->ca);
	if (!ca) {
		(void)close(fd);
		return err_errno(err, ENOMEM, "the keeper");
	}
	*ret_ca = ca;
	memcpy(ret_hash, reply->ca_hash, KEEPERMSG_HASH);
	if (ret_signed_in)
		*ret_signed_in = TAKE_PTR(names);
	return fd;
}
