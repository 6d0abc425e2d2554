/* SPDX-License-Identifier: Apache-2.0
 *
 * sock: see sock.h. Bytes go straight from the caller to the socket; only what the socket does not take is copied and waits. One read
 * of CHAN_CHUNK per turn of the loop, so that a busy stream does not starve the others.
 */
#include "proxy/sock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"

struct sock {
	struct chan chan;
	uv_poll_t poll;
	int fd;         /* owned */
	struct buf out; /* what the socket did not take yet */
	int events;     /* what poll watches */
	bool want_read;
	bool fin_sent;
	bool failed;
};

static void on_poll(uv_poll_t *h, int status, int events);

static struct sock *of(struct chan *c)
{
	return container_of(c, struct sock, chan);
}

static void watch(struct sock *s)
{
	int events = (s->want_read && !s->chan.peer_eof ? UV_READABLE : 0) | (buf_len(&s->out) > 0 ? UV_WRITABLE : 0);

	if (s->failed)
		events = 0;
	if (events == s->events)
		return;
	s->events = events;
	if (events)
		(void)uv_poll_start(&s->poll, events, on_poll);
	else
		(void)uv_poll_stop(&s->poll);
}

static void fail(struct sock *s, int error)
{
	s->failed = true;
	watch(s);
	chan_deliver_closed(&s->chan, error);
}

/* Sends the end where it is due, and tells when both directions are over. */
static void finish(struct sock *s)
{
	if (s->chan.shut && !s->fin_sent && buf_len(&s->out) == 0) {
		s->fin_sent = true;
		if (shutdown(s->fd, SHUT_WR) < 0 && errno != ENOTCONN) {
			fail(s, -errno);
			return;
		}
	}
	if (s->fin_sent && s->chan.peer_eof && !s->failed)
		chan_deliver_closed(&s->chan, 0);
}

static size_t sock_room(const struct chan *c)
{
	return buf_room(&container_of((struct chan *)(uintptr_t)c, struct sock, chan)->out);
}

/* Queues the iovecs from byte `from` on, as far as there is room; returns how many bytes. */
static size_t queue(struct sock *s, const struct iovec *iov, int n, size_t from)
{
	size_t took = 0;

	for (int i = 0; i < n; i++) {
		size_t len = iov[i].iov_len, room = buf_room(&s->out);

		if (from >= len) {
			from -= len;
			continue;
		}
		len -= from;
		if (len > room)
			len = room;
		if (len == 0 || buf_append(&s->out, (const uint8_t *)iov[i].iov_base + from, len) < 0)
			break;
		took += len;
		if (from + len < iov[i].iov_len)
			break;
		from = 0;
	}
	return took;
}

static size_t sock_writev(struct chan *c, const struct iovec *iov, int n)
{
	struct sock *s = of(c);
	size_t sent = 0;

	if (s->failed)
		return 0;
	if (buf_len(&s->out) == 0) {
		const struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n };
		ssize_t r = sendmsg(s->fd, &msg, MSG_NOSIGNAL);

		if (r < 0 && errno != EAGAIN && errno != EINTR) {
			fail(s, -errno);
			return 0;
		}
		sent = r > 0 ? (size_t)r : 0;
	}
	sent += queue(s, iov, n, sent);
	watch(s);
	return sent;
}

static void sock_want_room(struct chan *c)
{
	if (buf_len(&of(c)->out) == 0)
		chan_deliver_writable(c);
}

static void sock_shutdown(struct chan *c)
{
	finish(of(c));
}

static void sock_set_reading(struct chan *c, bool on)
{
	of(c)->want_read = on;
	watch(of(c));
}

static void on_closed(uv_handle_t *h)
{
	struct sock *s = container_of((uv_poll_t *)h, struct sock, poll);

	buf_done(&s->out);
	chan_done(&s->chan);
	free(s);
}

static void sock_release(struct chan *c, bool reset)
{
	static const struct linger abort_now = { .l_onoff = 1, .l_linger = 0 };
	struct sock *s = of(c);

	s->failed = true;
	watch(s);
	if (reset)
		(void)setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &abort_now, sizeof(abort_now));
	uv_close((uv_handle_t *)&s->poll, on_closed);
	(void)close(s->fd);
	s->fd = -1;
}

static const struct chan_class sock_class = {
	.name = "socket",
	.writev = sock_writev,
	.room = sock_room,
	.want_room = sock_want_room,
	.shutdown = sock_shutdown,
	.set_reading = sock_set_reading,
	.release = sock_release,
};

static void do_read(struct sock *s)
{
	static uint8_t chunk[CHAN_CHUNK]; /* one loop, one thread: shared, never held across calls */
	ssize_t n = read(s->fd, chunk, sizeof(chunk));
	int r;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		fail(s, -errno);
		return;
	}
	if (n == 0) {
		chan_deliver_eof(&s->chan);
		watch(s);
		finish(s);
		return;
	}
	r = chan_deliver(&s->chan, chunk, (size_t)n);
	if (r < 0 && r != -ECANCELED)
		fail(s, r);
}

static void do_write(struct sock *s)
{
	ssize_t n = send(s->fd, buf_bytes(&s->out), buf_len(&s->out), MSG_NOSIGNAL);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		fail(s, -errno);
		return;
	}
	buf_consume(&s->out, (size_t)n);
	if (buf_len(&s->out) == 0)
		buf_done(&s->out);
	if (buf_room(&s->out) >= CHAN_OUT / 2)
		chan_deliver_writable(&s->chan);
	finish(s);
	watch(s);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
	struct sock *s = container_of(h, struct sock, poll);

	if (status < 0) {
		int error = 0;
		socklen_t n = sizeof(error);

		(void)getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &n);
		fail(s, error ? -error : -EIO);
		return;
	}
	if ((events & UV_WRITABLE) && buf_len(&s->out) > 0)
		do_write(s);
	if ((events & UV_READABLE) && s->want_read && !s->failed)
		do_read(s);
}

struct chan *sock_new(uv_loop_t *loop, struct turn *turn, int fd)
{
	struct sock *s = calloc(1, sizeof(*s));

	if (!s || io_set_nonblock(fd, true) < 0 || uv_poll_init(loop, &s->poll, fd) < 0) {
		free(s);
		(void)close(fd);
		return NULL;
	}
	chan_init(&s->chan, &sock_class, turn);
	buf_init(&s->out, CHAN_OUT);
	s->fd = fd;
	return &s->chan;
}
