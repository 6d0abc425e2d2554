/* SPDX-License-Identifier: Apache-2.0
 *
 * listen: see listen.h. Where there are no descriptors left it stops accepting for a while, rather than spin.
 */
#include "proxy/listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "proxy/chan.h"
#include "proxy/entry.h"
#include "proxy/proxy.h"
#include "proxy/sock.h"

#define PER_TURN 16
#define PAUSE_MS 100

struct listen {
	uv_poll_t poll;
	uv_timer_t pause;
	struct proxy *proxy;
	int fd; /* owned */
	unsigned int handles;
};

struct listens {
	struct proxy *proxy;
	struct listen *all[LISTEN_MAX]; /* owned */
	size_t n;
};

static void on_poll(uv_poll_t *h, int status, int events);

static void on_pause_over(uv_timer_t *t)
{
	struct listen *l = t->data;

	(void)uv_poll_start(&l->poll, UV_READABLE, on_poll);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
	static const int one = 1;
	struct listen *l = h->data;

	for (int i = 0; i < PER_TURN; i++) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct chan *c;

		if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
			return;
		if (fd < 0) {
			log_warn("event=accept_failed error=%d", errno);
			(void)uv_poll_stop(&l->poll);
			(void)uv_timer_start(&l->pause, on_pause_over, PAUSE_MS, 0);
			return;
		}
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* fails on a Unix socket */
		c = sock_new(l->proxy->loop, &l->proxy->turn, fd);
		if (c)
			entry_begin(l->proxy, c, NULL);
	}
}

struct listens *listens_new(struct proxy *p)
{
	struct listens *ls = calloc(1, sizeof(*ls));

	if (ls)
		ls->proxy = p;
	return ls;
}

static void on_closed(uv_handle_t *h)
{
	struct listen *l = h->data;

	if (--l->handles == 0)
		free(l);
}

void listens_free(struct listens *ls)
{
	if (!ls)
		return;
	for (size_t i = 0; i < ls->n; i++) {
		uv_close((uv_handle_t *)&ls->all[i]->poll, on_closed);
		uv_close((uv_handle_t *)&ls->all[i]->pause, on_closed);
		(void)close(ls->all[i]->fd);
	}
	free(ls);
}

int listens_add(struct listens *ls, int fd, struct err *err)
{
	int listening = 0;
	socklen_t n = sizeof(listening);
	struct listen *l = NULL;

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) < 0 || !listening)
		(void)err_set(err, ERR_INVALID, 0, "listen needs a listening socket");
	else if (ls->n == LISTEN_MAX)
		(void)err_set(err, ERR_UNAVAILABLE, ENOSPC, "there are %d listening sockets already", LISTEN_MAX);
	else
		l = calloc(1, sizeof(*l));
	if (!l || io_set_nonblock(fd, true) < 0 || uv_poll_init(ls->proxy->loop, &l->poll, fd) < 0) {
		if (l)
			(void)err_errno(err, ENOMEM, "listen");
		free(l);
		(void)close(fd);
		return -EINVAL;
	}
	(void)uv_timer_init(ls->proxy->loop, &l->pause);
	l->poll.data = l->pause.data = l;
	l->proxy = ls->proxy;
	l->fd = fd;
	l->handles = 2;
	ls->all[ls->n++] = l;
	(void)uv_poll_start(&l->poll, UV_READABLE, on_poll);
	return 0;
}
