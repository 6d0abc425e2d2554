/* SPDX-License-Identifier: Apache-2.0
 *
 * netctl: see netctl.h.
 */
#include "vm/netctl.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"

/* Datagrams per turn of the loop, so that a chatty proxy does not hold up the sessions. */
#define PER_TURN 16

struct netctl {
	uv_poll_t poll;
	int fd;                       /* owned */
	const struct netctl_ops *ops; /* borrowed */
	void *user;
	bool freed;
};

static void on_closed(uv_handle_t *h)
{
	free(h->data);
}

void netctl_free(struct netctl *c)
{
	if (!c || c->freed)
		return;
	c->freed = true;
	(void)uv_poll_stop(&c->poll);
	uv_close((uv_handle_t *)&c->poll, on_closed);
	own_close_p(&c->fd);
}

static void end(struct netctl *c, int error)
{
	(void)uv_poll_stop(&c->poll);
	c->ops->end(c->user, error);
}

/* False where there is nothing more to do in this turn. */
static bool take_one(struct netctl *c)
{
	static char text[NETCTL_MAX_BYTES]; /* one loop, one thread, never held across calls */
	ssize_t n = recv(c->fd, text, sizeof(text), MSG_DONTWAIT | MSG_TRUNC);
	json_t *message;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0 || (size_t)n > sizeof(text)) {
		end(c, n == 0 ? 0 : n < 0 ? -errno : -EMSGSIZE);
		return false;
	}
	message = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(message)) {
		json_decref(message);
		end(c, -EPROTO);
		return false;
	}
	c->ops->message(c->user, message);
	json_decref(message);
	return !c->freed;
}

static void on_poll(uv_poll_t *h, int status, int events)
{
	struct netctl *c = h->data;

	if (status < 0) {
		end(c, status);
		return;
	}
	for (int i = 0; i < PER_TURN && take_one(c); i++)
		;
}

struct netctl *netctl_new(uv_loop_t *loop, int fd, const struct netctl_ops *ops, void *user)
{
	struct netctl *c = calloc(1, sizeof(*c));

	if (!c || io_set_nonblock(fd, true) < 0 || uv_poll_init(loop, &c->poll, fd) < 0) {
		free(c);
		(void)close(fd);
		return NULL;
	}
	c->fd = fd;
	c->ops = ops;
	c->user = user;
	c->poll.data = c;
	if (uv_poll_start(&c->poll, UV_READABLE, on_poll) < 0) {
		netctl_free(c);
		return NULL;
	}
	return c;
}

int netctl_send(struct netctl *c, json_t *message, int fd)
{
	auto_free char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = text, .iov_len = text ? strlen(text) : 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	json_decref(message);
	if (!text)
		return -ENOMEM;
	if (iov.iov_len > NETCTL_MAX_BYTES)
		return -EMSGSIZE;
	if (fd >= 0) {
		struct cmsghdr *head;

		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		head = CMSG_FIRSTHDR(&msg);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(head), &fd, sizeof(int));
	}
	return sendmsg(c->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}
