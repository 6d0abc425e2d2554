/* SPDX-License-Identifier: Apache-2.0
 *
 * netlink: see netlink.h. Everything is aligned to 4 bytes, the lengths in the heads are not (netlink(7)).
 */
#include "guest/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/own.h"

#define ACK_TIMEOUT_S 5

int netlink_open(struct netlink *l, int protocol)
{
	struct timeval limit = { .tv_sec = ACK_TIMEOUT_S };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	*l = (struct netlink){ .fd = fd, .seq = 1 };
	buf_init(&l->out, NETLINK_BYTES);
	return 0;
}

void netlink_close(struct netlink *l)
{
	own_close_p(&l->fd);
	buf_done(&l->out);
}

static void append(struct netlink *l, const void *bytes, size_t n)
{
	static const uint8_t zero[NLMSG_ALIGNTO];
	int r = buf_append(&l->out, bytes, n);

	if (r == 0 && n % NLMSG_ALIGNTO)
		r = buf_append(&l->out, zero, NLMSG_ALIGNTO - n % NLMSG_ALIGNTO);
	if (r < 0 && l->error == 0)
		l->error = r;
}

void netlink_begin(struct netlink *l, uint16_t type, uint16_t flags, const void *fixed, size_t n)
{
	struct nlmsghdr h = { .nlmsg_type = type, .nlmsg_flags = (uint16_t)(flags | NLM_F_REQUEST), .nlmsg_seq = l->seq++ };

	l->message = buf_len(&l->out);
	if (flags & NLM_F_ACK)
		l->acks++;
	append(l, &h, sizeof(h));
	append(l, fixed, n);
}

void netlink_end(struct netlink *l)
{
	uint32_t len = (uint32_t)(buf_len(&l->out) - l->message);

	if (l->error == 0)
		memcpy(l->out.data + l->out.head + l->message + offsetof(struct nlmsghdr, nlmsg_len), &len, sizeof(len));
}

void netlink_put(struct netlink *l, uint16_t type, const void *bytes, size_t n)
{
	struct nlattr a = { .nla_type = type, .nla_len = (uint16_t)(sizeof(a) + n) };

	append(l, &a, sizeof(a));
	append(l, bytes, n);
}

void netlink_put_u8(struct netlink *l, uint16_t type, uint8_t value)
{
	netlink_put(l, type, &value, sizeof(value));
}

void netlink_put_u32(struct netlink *l, uint16_t type, uint32_t value)
{
	netlink_put(l, type, &value, sizeof(value));
}

void netlink_put_be32(struct netlink *l, uint16_t type, uint32_t value)
{
	netlink_put_u32(l, type, htonl(value));
}

void netlink_put_str(struct netlink *l, uint16_t type, const char *s)
{
	netlink_put(l, type, s, strlen(s) + 1);
}

size_t netlink_nest(struct netlink *l, uint16_t type)
{
	size_t at = buf_len(&l->out);

	netlink_put(l, type | NLA_F_NESTED, NULL, 0);
	return at;
}

void netlink_unnest(struct netlink *l, size_t nest)
{
	uint16_t len = (uint16_t)(buf_len(&l->out) - nest);

	if (l->error == 0)
		memcpy(l->out.data + l->out.head + nest + offsetof(struct nlattr, nla_len), &len, sizeof(len));
}

/* The acknowledgements in one datagram of the kernel; how many, or the first refusal. */
static int count_acks(const uint8_t *bytes, size_t n)
{
	int acks = 0;

	for (size_t at = 0; n - at >= sizeof(struct nlmsghdr);) {
		struct nlmsghdr h;
		struct nlmsgerr e;

		memcpy(&h, bytes + at, sizeof(h));
		if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > n - at)
			return -EPROTO;
		if (h.nlmsg_type == NLMSG_ERROR) {
			if (h.nlmsg_len < sizeof(h) + sizeof(e))
				return -EPROTO;
			memcpy(&e, bytes + at + sizeof(h), sizeof(e));
			if (e.error)
				return e.error < 0 ? e.error : -EPROTO;
			acks++;
		}
		at += NLMSG_ALIGN(h.nlmsg_len) < n - at ? NLMSG_ALIGN(h.nlmsg_len) : n - at;
	}
	return acks;
}

static int wait_acks(struct netlink *l)
{
	uint8_t answer[8192];

	while (l->acks > 0) {
		ssize_t n = recv(l->fd, answer, sizeof(answer), 0);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		r = count_acks(answer, (size_t)n);
		if (r < 0)
			return r;
		l->acks -= (unsigned)r < l->acks ? (unsigned)r : l->acks;
	}
	return 0;
}

int netlink_run(struct netlink *l)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	int r = l->error;

	if (r == 0 && sendto(l->fd, buf_bytes(&l->out), buf_len(&l->out), 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		r = -errno;
	if (r == 0)
		r = wait_acks(l);
	buf_consume(&l->out, buf_len(&l->out));
	l->acks = 0;
	l->error = 0;
	return r;
}
