/* SPDX-License-Identifier: Apache-2.0
 *
 * api: see api.h. The daemon is ours, but its answers are bounded and checked all the same.
 */
#include "cli/api.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/io.h"
#include "base/str.h"
#include "cli/launch.h"
#include "wire/http1.h"

#define BODY_MAX (16 << 20)
#define LINE_MAX_BYTES (1 << 20)
#define SHUTDOWN_MS 15000
#define TRIES 3

struct call {
	struct cli *cli;
	const struct api_req *req;
	uint64_t end; /* deadline */
	struct buf body;
	int status;
	bool stream; /* a body of lines */
	bool complete;
	bool unanswered; /* the daemon ended without a byte of an answer */
};

static int on_head(void *user, const struct http1_head *head)
{
	struct call *k = user;

	k->status = head->status;
	k->stream = k->req->line && head->status == 200 && str_eq(head->content_type, "application/x-ndjson");
	return 0;
}

static int give_lines(struct call *k)
{
	const uint8_t *nl;

	while ((nl = memchr(buf_bytes(&k->body), '\n', buf_len(&k->body)))) {
		size_t n = (size_t)(nl - buf_bytes(&k->body));
		auto_(json) json_t *v = json_loadb((const char *)buf_bytes(&k->body), n, JSON_REJECT_DUPLICATES, NULL);
		int r;

		buf_consume(&k->body, n + 1);
		if (!v)
			return err_set(&k->cli->err, ERR_INTERNAL, EPROTO, "sandboxd sent a line that is not JSON");
		r = k->req->line(k->req->user, v);
		if (r < 0)
			return r;
	}
	if (buf_len(&k->body) > LINE_MAX_BYTES)
		return err_set(&k->cli->err, ERR_INTERNAL, EMSGSIZE, "sandboxd sent a line that is too long");
	return 0;
}

static int on_body(void *user, const uint8_t *bytes, size_t n)
{
	struct call *k = user;
	int r = buf_append(&k->body, bytes, n);

	if (r < 0)
		return err_errno(&k->cli->err, -r, "the answer of sandboxd");
	return k->stream ? give_lines(k) : 0;
}

static int on_complete(void *user)
{
	((struct call *)user)->complete = true;
	return 0;
}

static const struct http1_ops ops = { on_head, on_body, on_complete };

/* Waits for one of events on fd until the deadline. */
static int wait_for(const struct call *k, int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	int r;

	do {
		uint64_t now = io_now_ms();

		r = poll(&p, 1, now >= k->end ? 0 : (int)(k->end - now));
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return err_errno(&k->cli->err, errno, "cannot wait for sandboxd");
	if (r == 0)
		return err_set(&k->cli->err, ERR_TIMEOUT, ETIMEDOUT, "sandboxd did not answer %s %s in time",
			       k->req->method, k->req->target);
	return 0;
}

static int send_all(const struct call *k, int fd, struct buf *out)
{
	while (buf_len(out) > 0) {
		ssize_t n = send(fd, buf_bytes(out), buf_len(out), MSG_NOSIGNAL);
		int r = 0;

		if (n > 0)
			buf_consume(out, (size_t)n);
		else if (errno == EAGAIN)
			r = wait_for(k, fd, POLLOUT);
		else if (errno == EPIPE || errno == ECONNRESET)
			return 0; /* refused before all was sent: the answer says why */
		else if (errno != EINTR)
			r = err_errno(&k->cli->err, errno, "cannot send to sandboxd");
		if (r < 0)
			return r;
	}
	return 0;
}

static int receive(struct call *k, int fd, struct http1 *h)
{
	struct err *err = &k->cli->err;

	while (!k->complete) {
		uint8_t bytes[16384];
		ssize_t n;
		long took;
		int r = wait_for(k, fd, POLLIN);

		if (r < 0)
			return r;
		n = recv(fd, bytes, sizeof(bytes), 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		k->unanswered = n <= 0 && !http1_is_started(h);
		if (n <= 0)
			return err_set(err, ERR_UNAVAILABLE, ECONNRESET, "sandboxd ended in the middle of %s %s",
				       k->req->method, k->req->target);
		took = http1_feed(h, bytes, (size_t)n, err);
		if (took < 0)
			return err->kind != ERR_NONE
				       ? (int)took
				       : err_set(err, ERR_INTERNAL, EPROTO, "sandboxd sent something that is not HTTP");
	}
	return 0;
}

/* The error that the daemon's body tells. */
static int daemon_error(struct call *k, const json_t *v)
{
	const json_t *e = json_object_get(v, "error");
	enum err_kind kind = err_kind_from_name(cli_str(e, "kind"));

	if (!cli_str(e, "message")[0])
		return err_set(&k->cli->err, ERR_INTERNAL, EIO, "sandboxd answered %s %s with status %d", k->req->method,
			       k->req->target, k->status);
	return err_set(&k->cli->err, kind, 0, "%s", cli_str(e, "message"));
}

static int finish(struct call *k, json_t **ret)
{
	auto_(json) json_t *v = NULL;

	if (buf_len(&k->body) == 0)
		v = json_null();
	else
		v = json_loadb((const char *)buf_bytes(&k->body), buf_len(&k->body), JSON_REJECT_DUPLICATES, NULL);
	if (k->status >= 300)
		return daemon_error(k, v);
	if (!v)
		return err_set(&k->cli->err, ERR_INTERNAL, EPROTO, "sandboxd answered %s with something that is not JSON",
			       k->req->target);
	if (k->req->ret_status)
		*k->req->ret_status = k->status;
	if (ret)
		*ret = TAKE_PTR(v);
	return 0;
}

static int exchange(struct call *k, int fd, struct buf *out, json_t **ret)
{
	struct http1 *h = http1_new(HTTP1_RESPONSE, BODY_MAX, &ops, k);
	auto_free char *text = k->req->body ? json_dumps(k->req->body, JSON_COMPACT) : NULL;
	int r;

	if (!h || (k->req->body && !text))
		r = err_set(&k->cli->err, ERR_INTERNAL, ENOMEM, "out of memory");
	else if (http1_request(out, k->req->method, k->req->target, text, text ? strlen(text) : 0) < 0)
		r = err_set(&k->cli->err, ERR_INVALID, EMSGSIZE, "the request %s is too large", k->req->target);
	else
		r = io_set_nonblock(fd, true);
	if (r == 0)
		r = send_all(k, fd, out);
	if (r == 0)
		r = receive(k, fd, h);
	if (r == 0)
		r = finish(k, ret);
	http1_free(h);
	return r;
}

static int call_once(struct cli *c, const struct api_req *req, json_t **ret, bool *ret_unanswered)
{
	int timeout = req->timeout_ms ? req->timeout_ms : API_QUICK_MS;
	auto_fd int fd = launch_connect(c, !req->only_look, NULL);
	struct call k = { .cli = c, .req = req, .end = io_now_ms() + (uint64_t)timeout };
	struct buf out;
	int r;

	if (fd < 0)
		return fd;
	cli_debug(c, "%s %s", req->method, req->target);
	buf_init(&out, 2 << 20);
	buf_init(&k.body, BODY_MAX);
	r = exchange(&k, fd, &out, ret);
	buf_done(&k.body);
	buf_done(&out);
	*ret_unanswered = k.unanswered;
	return r;
}

/* A connection that waits to be accepted when the daemon ends is lost: the next daemon is asked instead. */
static int call(struct cli *c, const struct api_req *req, json_t **ret)
{
	for (int i = 1;; i++) {
		bool unanswered = false;
		int r = call_once(c, req, ret, &unanswered);

		if (r >= 0 || !unanswered || req->once || req->only_look || i == TRIES)
			return r;
		cli_debug(c, "%s; asking again", c->err.msg);
		c->err = (struct err){ 0 };
	}
}

int api_shutdown(struct cli *c)
{
	auto_(json) json_t *v = NULL;
	auto_fd int pidfd = -1;
	int r = call(c, &(struct api_req){ .method = "GET", .target = "/v1/version", .only_look = true }, &v);
	json_int_t pid = json_integer_value(json_object_get(v, "pid"));

	if (r < 0)
		return r;
	pidfd = pid > 1 ? launch_watch((pid_t)pid) : -ESRCH;
	r = call(c, &(struct api_req){ .method = "POST", .target = "/v1/shutdown", .only_look = true }, NULL);
	/* Somebody else may have asked first. */
	if (r < 0 && c->err.errnum != ECONNRESET && c->err.errnum != ECONNREFUSED)
		return r;
	c->err = (struct err){ 0 };
	c->hint[0] = 0;
	if (pidfd == -ESRCH)
		return 0;
	r = pidfd < 0 ? pidfd : launch_await_end(pidfd, SHUTDOWN_MS);
	return r < 0 ? err_errno(&c->err, -r, "sandboxd (process %lld) does not end", (long long)pid) : 0;
}

/* A daemon that an upgrade or another installation left behind is replaced. */
static int same_version(struct cli *c)
{
	static bool checked;
	auto_(json) json_t *v = NULL;
	int r;

	if (checked)
		return 0;
	r = call(c, &(struct api_req){ .method = "GET", .target = "/v1/version" }, &v);
	if (r < 0)
		return r;
	checked = true;
	if (str_eq(cli_str(v, "version"), SBX_VERSION))
		return 0;
	cli_say("sandboxd is v%s and sbx v%s: starting it anew; running sandboxes go on", cli_str(v, "version"),
		SBX_VERSION);
	r = api_shutdown(c);
	/* Somebody else may have ended it first. */
	if (r < 0 && c->err.errnum != ECONNREFUSED)
		return r;
	c->err = (struct err){ 0 };
	c->hint[0] = 0;
	return 0;
}

int api_call(struct cli *c, const struct api_req *req, json_t **ret)
{
	int r = req->only_look ? 0 : same_version(c);

	return r < 0 ? r : call(c, req, ret);
}

int api_get(struct cli *c, const char *target, json_t **ret)
{
	return api_call(c, &(struct api_req){ .method = "GET", .target = target }, ret);
}

int api_target(struct cli *c, char *dst, size_t size, const char *name, const char *suffix)
{
	struct buf b;
	const char *s = NULL;
	int r = -EINVAL;

	buf_init(&b, 1024);
	if (name[0] && !str_eq(name, ".") && !str_eq(name, "..") && http1_encode(&b, name) == 0 && (s = buf_cstr(&b)))
		r = str_format(dst, size, "/v1/sandboxes/%s%s", s, suffix);
	buf_done(&b);
	return r < 0 ? err_set(&c->err, ERR_INVALID, EINVAL, "'%.100s' cannot be a sandbox's name", name) : 0;
}
