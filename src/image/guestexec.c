/* SPDX-License-Identifier: Apache-2.0
 *
 * guestexec: see guestexec.h. One socket and one loop around poll(2); nothing is queued.
 */
#include "image/guestexec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "image/stop.h"
#include "wire/record.h"

#define TICK_MS 1000

DEFINE_AUTO(json, json_t *, json_decref);

static int connect_to(const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	auto_free char *dir = slash ? strndup(path, (size_t)(slash - path)) : NULL;
	auto_fd int dirfd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int fd = dirfd >= 0 ? io_unix_connect(dirfd, slash + 1) : -ENOENT;

	return fd < 0 ? err_errno(err, -fd, "cannot reach the sandbox at %.200s", path) : fd;
}

/* REQUEST, START, and the end of its stdin unless it shall wait for it. */
static int send_start(int fd, const struct guestexec *g, bool eof, struct err *err)
{
	static const char request[] = "{\"op\":\"exec\"}";
	auto_(json) json_t *start = json_pack("{s:O, s:s, s:s, s:O*}", "argv", g->argv, "user", g->user, "cwd", "/", "env", g->env);
	auto_free char *text = start ? json_dumps(start, JSON_COMPACT) : NULL;
	struct buf out;
	int r;

	buf_init(&out, 2 * (RECORD_HEAD + RECORD_MAX));
	r = text ? record_encode(&out, RECORD_REQUEST, request, sizeof(request) - 1) : -ENOMEM;
	if (r == 0)
		r = strlen(text) <= RECORD_MAX ? record_encode(&out, RECORD_START, text, strlen(text)) : -EMSGSIZE;
	if (r == 0 && eof)
		r = record_encode(&out, RECORD_STDIN_EOF, NULL, 0);
	if (r == 0)
		r = io_write_all(fd, buf_bytes(&out), buf_len(&out));
	buf_done(&out);
	return r < 0 ? err_errno(err, -r, "cannot start a program in the sandbox") : 0;
}

static int refused(const struct record *rec, struct err *err)
{
	auto_(json) json_t *o = json_loadb((const char *)rec->data, rec->len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *e = rec->type == RECORD_REPLY ? json_object_get(o, "error") : o;
	const char *message = json_string_value(json_object_get(e, "message"));
	char shown[300];

	if (!message)
		message = "no reason was given";
	str_escape(shown, sizeof(shown), message, strlen(message));
	return err_set(err, ERR_UNAVAILABLE, EIO, "a program in the sandbox could not be run: %s", shown);
}

/* 1: it has ended, and *ret_status is set. */
static int take(const struct guestexec *g, const struct record *rec, int *ret_status, struct err *err)
{
	switch (rec->type) {
	case RECORD_STARTED:
		return 0;
	case RECORD_STDOUT:
		return g->out ? g->out(g->arg, rec->data, rec->len, err) : 0;
	case RECORD_STDERR:
		return g->says ? g->says(g->arg, rec->data, rec->len, err) : 0;
	case RECORD_EXIT:
		*ret_status = rec->data[0] ? 128 + rec->data[1] : rec->data[1];
		return 1;
	case RECORD_REPLY:
	case RECORD_FAILED:
		return refused(rec, err);
	default:
		return err_set(err, ERR_INTERNAL, EPROTO, "the sandbox says what it may not");
	}
}

/* All whole records of in. */
static int drain(const struct guestexec *g, struct buf *in, int *ret_status, struct err *err)
{
	struct record rec;
	int used, r = 0;

	while (r == 0 && (used = record_decode(buf_bytes(in), buf_len(in), &rec)) != 0) {
		if (used < 0)
			return err_set(err, ERR_INTERNAL, EPROTO, "the sandbox says what it may not");
		r = take(g, &rec, ret_status, err);
		buf_consume(in, (size_t)used);
	}
	return r;
}

static int receive(int fd, struct buf *in, struct err *err)
{
	uint8_t *at = buf_reserve(in, buf_room(in));
	ssize_t n = at ? recv(fd, at, buf_room(in), MSG_DONTWAIT) : -1;

	if (n == 0)
		return err_set(err, ERR_UNAVAILABLE, EPIPE, "the sandbox ended in the middle of the work");
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : err_errno(err, errno, "the sandbox");
	buf_commit(in, (size_t)n);
	return 0;
}

static int follow(const struct guestexec *g, int fd, struct buf *in, int *ret_status, struct err *err)
{
	uint64_t end = io_now_ms() + g->timeout_ms, ticked = io_now_ms();
	int r = 0;

	while (r == 0) {
		struct pollfd p[] = { { .fd = fd, .events = POLLIN }, { .fd = stop_fd(), .events = POLLIN } };
		int n = poll(p, ARRAY_LEN(p), TICK_MS);
		uint64_t now = io_now_ms();

		if (n < 0 && errno != EINTR)
			return err_errno(err, errno, "cannot wait for the sandbox");
		if (n > 0 && p[1].revents)
			return stop_check(err);
		if (now > end)
			return err_set(err, ERR_TIMEOUT, ETIMEDOUT, "it did not end within %u s", g->timeout_ms / 1000);
		if (now - ticked >= TICK_MS && g->tick) {
			g->tick(g->arg);
			ticked = now;
		}
		if (n > 0 && p[0].revents)
			r = receive(fd, in, err);
		if (r == 0)
			r = drain(g, in, ret_status, err);
	}
	return r < 0 ? r : 0;
}

int guestexec_run(const struct guestexec *g, int *ret_status, struct err *err)
{
	auto_fd int fd = connect_to(g->socket, err);
	struct buf in;
	int r = fd < 0 ? fd : send_start(fd, g, true, err);

	if (r < 0)
		return r;
	buf_init(&in, 4 * (RECORD_HEAD + RECORD_MAX));
	r = follow(g, fd, &in, ret_status, err);
	buf_done(&in);
	return r;
}

int guestexec_hold(const char *socket, struct err *err)
{
	auto_fd int fd = connect_to(socket, err);
	auto_(json) json_t *argv = json_pack("[s]", "cat");
	int r = fd < 0 ? fd : send_start(fd, &(struct guestexec){ .user = "root", .argv = argv }, false, err);

	return r < 0 ? r : TAKE_FD(fd);
}
