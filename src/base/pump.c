/* SPDX-License-Identifier: Apache-2.0
 *
 * pump: see pump.h. Level-triggered: each turn reads at most one chunk and writes at most a few pulls, so that one
 * busy stream does not starve the others.
 */
#include "base/pump.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"

#define READ_CHUNK 65536
#define PULLS_PER_TURN 16

static void on_poll(uv_poll_t *h, int status, int events);
static bool preparing; /* the loop runs its prepare callbacks, ours among them; a new one would run after the wait only */

static void watch(struct pump *p, bool writing)
{
	int events = (p->reading && !p->eof ? UV_READABLE : 0) | (writing ? UV_WRITABLE : 0);

	if (p->stopped || events == p->events)
		return;
	p->events = events;
	if (events)
		(void)uv_poll_start(&p->poll, events, on_poll);
	else
		(void)uv_poll_stop(&p->poll);
}

static void finish(struct pump *p, int error)
{
	pump_stop(p);
	if (p->ops->end)
		p->ops->end(p, error);
}

/* Returns false when the pump is over. */
static bool do_read(struct pump *p)
{
	static uint8_t chunk[READ_CHUNK]; /* one loop, one thread: shared by all pumps, never held across calls */
	ssize_t n = read(p->fd, chunk, sizeof(chunk)), more = n;
	int r;

	/* What ends it comes again at the next turn. */
	while (p->gather && more > 0 && (size_t)n < sizeof(chunk)) {
		more = read(p->fd, chunk + n, sizeof(chunk) - (size_t)n);
		n += more > 0 ? more : 0;
	}

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n == 0 && p->ops->eof) {
		p->eof = true;
		watch(p, (p->events & UV_WRITABLE) != 0);
		p->ops->eof(p);
		return !p->stopped;
	}
	if (n <= 0) {
		/* A pty whose last slave closed reads EIO: that is its end, not an error. */
		finish(p, n == 0 || errno == EIO ? 0 : -errno);
		return false;
	}
	r = p->ops->bytes(p, chunk, (size_t)n);
	if (p->stopped)
		return false;
	if (r < 0) {
		finish(p, r);
		return false;
	}
	return true;
}

/* early: before the loop waited. What fails then is left to the ordinary turn, which reads what there still is first. */
static void do_write(struct pump *p, bool early)
{
	for (int i = 0; i < PULLS_PER_TURN; i++) {
		ssize_t n;

		if (p->out_len == 0) {
			long got = p->ops->pull ? p->ops->pull(p, &p->out) : 0;

			if (p->stopped)
				return;
			if (got < 0) {
				finish(p, (int)got);
				return;
			}
			if (got == 0) {
				watch(p, false);
				return;
			}
			p->out_len = (size_t)got;
		}
		n = write(p->fd, p->out, p->out_len);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n < 0 && early)
			break;
		if (n < 0) {
			finish(p, -errno);
			return;
		}
		p->out += n;
		p->out_len -= (size_t)n;
		if (p->out_len > 0)
			break;
	}
	watch(p, true);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
	struct pump *p = h->data;

	if (p->stopped)
		return;
	if (status < 0) {
		finish(p, status == UV_EBADF ? 0 : status);
		return;
	}
	if ((events & UV_READABLE) && p->reading && !do_read(p))
		return;
	if (events & UV_WRITABLE)
		do_write(p, false);
}

static void on_soon(uv_prepare_t *h)
{
	struct pump *p = h->data;

	(void)uv_prepare_stop(h);
	if (p->stopped || (p->events & UV_WRITABLE))
		return;
	preparing = true;
	do_write(p, true);
	preparing = false;
}

int pump_start(struct pump *p, uv_loop_t *loop, int fd, const struct pump_ops *ops, void *user)
{
	int r = io_set_nonblock(fd, true);

	*p = (struct pump){ .ops = ops, .user = user, .fd = fd, .reading = true };
	if (r == 0)
		r = uv_poll_init(loop, &p->poll, fd);
	if (r < 0) {
		(void)close(fd);
		p->fd = -1;
		p->stopped = true;
		return r;
	}
	(void)uv_prepare_init(loop, &p->soon);
	p->handles = 2;
	p->poll.data = p->soon.data = p;
	watch(p, true);
	return 0;
}

void pump_kick(struct pump *p)
{
	if (p->stopped || (p->events & UV_WRITABLE))
		return;
	if (preparing)
		watch(p, true);
	else
		(void)uv_prepare_start(&p->soon, on_soon);
}

void pump_set_reading(struct pump *p, bool on)
{
	p->reading = on;
	watch(p, (p->events & UV_WRITABLE) != 0);
}

static void on_closed(uv_handle_t *h)
{
	struct pump *p = h->data;

	if (--p->handles == 0 && p->ops->closed)
		p->ops->closed(p);
}

void pump_stop(struct pump *p)
{
	if (p->stopped)
		return;
	p->stopped = true;
	p->events = 0;
	(void)uv_poll_stop(&p->poll);
	uv_close((uv_handle_t *)&p->poll, on_closed);
	uv_close((uv_handle_t *)&p->soon, on_closed);
	(void)close(p->fd);
	p->fd = -1;
}
