/* SPDX-License-Identifier: Apache-2.0
 *
 * netjoin: see netjoin.h. "Up" is from the socket to the stream, "down" from the stream to the socket. Up needs no
 * memory here: no more is read than h2_write takes. Down holds what the socket did not take, at most one window.
 *
 * The poll handle watches even where nothing is wanted of the socket, so that a reset is noticed (as an error condition,
 * which epoll always tells). It lives from netjoin_new until the socket is closed; the join lives until the stream is
 * over and libuv has let go of the handle.
 */
#include "guest/netjoin.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/own.h"

#define CHUNK 65536

struct netjoin {
	uv_poll_t poll;
	const struct netjoin_ops *ops; /* borrowed */
	void *user;
	struct h2_stream *stream; /* NULL once closed */
	int fd;                   /* owned; -1 once closed */
	bool handle;              /* libuv knows poll */
	bool up_done;             /* the socket's last byte came */
	bool paused;              /* the stream takes nothing now */
	bool down_eof;            /* the stream's last byte came */
	bool down_done;           /* and was passed on */
	bool deaf;                /* there is urgent data, which nobody wants: no longer watched for errors */
	struct buf down;
};

static void on_poll(uv_poll_t *h, int status, int events);

static void maybe_free(struct netjoin *j)
{
	if (j->stream || j->handle)
		return;
	j->ops->over(j->user);
	buf_done(&j->down);
	free(j);
}

static void on_handle_closed(uv_handle_t *h)
{
	struct netjoin *j = h->data;

	j->handle = false;
	maybe_free(j);
}

void netjoin_refuse(int fd)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	(void)close(fd);
}

static void close_socket(struct netjoin *j, bool reset)
{
	if (j->fd < 0)
		return;
	(void)uv_poll_stop(&j->poll);
	uv_close((uv_handle_t *)&j->poll, on_handle_closed);
	if (reset)
		netjoin_refuse(j->fd);
	else
		(void)close(j->fd);
	j->fd = -1;
	buf_done(&j->down);
}

static void watch(struct netjoin *j)
{
	int events = 0;

	if (j->fd < 0)
		return;
	if (j->stream && !j->up_done && !j->paused)
		events |= UV_READABLE;
	if (buf_len(&j->down) > 0)
		events |= UV_WRITABLE;
	if (events == 0 && !j->deaf)
		events = UV_PRIORITIZED;
	if (events)
		(void)uv_poll_start(&j->poll, events, on_poll);
	else
		(void)uv_poll_stop(&j->poll);
}

void netjoin_reset(struct netjoin *j)
{
	const struct netjoin_ops *ops = j->ops;
	void *user = j->user;

	close_socket(j, true);
	if (!j->stream) {
		maybe_free(j);
		return;
	}
	h2_reset(j->stream, H2_CANCEL); /* j may be gone after it */
	ops->kick(user);
}

/* After the last byte down: FIN, and the end where the other direction is over, too. */
static void settle(struct netjoin *j)
{
	if (j->fd < 0)
		return;
	if (j->down_eof && !j->down_done && buf_len(&j->down) == 0) {
		j->down_done = true;
		(void)shutdown(j->fd, SHUT_WR);
	}
	if (j->down_done && (j->up_done || !j->stream))
		close_socket(j, !j->up_done);
	else
		watch(j);
}

/* Returns false where the join was reset. */
static bool read_up(struct netjoin *j)
{
	static uint8_t chunk[CHUNK]; /* one loop, one thread: never held across calls */
	size_t room = h2_room(j->stream);
	ssize_t n;

	if (room == 0) {
		/* Takes nothing, and asks for `writable`. */
		j->paused = h2_write(j->stream, chunk, 1) == 0;
		return true;
	}
	n = recv(j->fd, chunk, room < CHUNK ? room : CHUNK, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n < 0 || (n > 0 && h2_write(j->stream, chunk, (size_t)n) != (size_t)n)) {
		netjoin_reset(j);
		return false;
	}
	if (n == 0) {
		j->up_done = true;
		h2_shutdown(j->stream);
	}
	j->ops->kick(j->user);
	return true;
}

/* What the socket takes of n bytes, or negative where it is broken. */
static ssize_t push(struct netjoin *j, const uint8_t *bytes, size_t n)
{
	ssize_t w = send(j->fd, bytes, n, MSG_NOSIGNAL);

	if (w < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (w > 0 && j->stream) {
		h2_consume(j->stream, (size_t)w);
		j->ops->kick(j->user);
	}
	return w;
}

static void on_poll(uv_poll_t *h, int status, int events)
{
	struct netjoin *j = h->data;
	ssize_t n;

	if (j->fd < 0)
		return;
	if (status < 0) {
		netjoin_reset(j);
		return;
	}
	if (events & UV_PRIORITIZED) {
		struct pollfd p = { .fd = j->fd };

		if (poll(&p, 1, 0) > 0 && (p.revents & POLLERR)) {
			netjoin_reset(j);
			return;
		}
		j->deaf = true;
	}
	if ((events & UV_READABLE) && j->stream && !j->up_done && !read_up(j))
		return;
	if ((events & UV_WRITABLE) && buf_len(&j->down) > 0) {
		n = push(j, buf_bytes(&j->down), buf_len(&j->down));
		if (n < 0) {
			netjoin_reset(j);
			return;
		}
		buf_consume(&j->down, (size_t)n);
	}
	settle(j);
}

struct netjoin *netjoin_new(uv_loop_t *loop, int fd, const struct netjoin_ops *ops, void *user)
{
	struct netjoin *j = calloc(1, sizeof(*j));

	if (!j || uv_poll_init(loop, &j->poll, fd) < 0) {
		free(j);
		netjoin_refuse(fd);
		return NULL;
	}
	j->poll.data = j;
	j->handle = true;
	j->fd = fd;
	j->ops = ops;
	j->user = user;
	buf_init(&j->down, H2_STREAM_WINDOW);
	return j;
}

void netjoin_start(struct netjoin *j, struct h2_stream *s)
{
	j->stream = s;
	if (s)
		watch(j);
	else
		netjoin_reset(j);
}

void netjoin_data(struct netjoin *j, const uint8_t *bytes, size_t n)
{
	ssize_t w = 0;

	if (j->fd < 0) {
		/* Nobody will take it; the stream's end is on its way. */
		h2_consume(j->stream, n);
		return;
	}
	if (buf_len(&j->down) == 0)
		w = push(j, bytes, n);
	if (w < 0 || buf_append(&j->down, bytes + w, n - (size_t)w) < 0)
		netjoin_reset(j);
	else if ((size_t)w < n)
		watch(j);
}

void netjoin_eof(struct netjoin *j)
{
	j->down_eof = true;
	settle(j);
}

void netjoin_writable(struct netjoin *j)
{
	j->paused = false;
	watch(j);
}

void netjoin_closed(struct netjoin *j, uint32_t error)
{
	j->stream = NULL;
	j->down_eof = true;
	if (error)
		close_socket(j, true);
	else
		settle(j);
	maybe_free(j);
}
