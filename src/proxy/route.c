/* SPDX-License-Identifier: Apache-2.0
 *
 * route: see route.h. The kernel answers RTM_GETROUTE within the send, so the answer is there when it is read. The host's own addresses
 * are kept besides, and read again at each change (RTNLGRP_*_IFADDR): a routing policy that hides one from the lookup does not
 * make it somebody else's.
 */
#include "proxy/route.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"

#define OWN_MAX 1024
#define ANSWER_MAX 32768
#define LOOPBACK_INDEX 1
#define SHORTEST_LINK 8 /* bits: a route for more than that is a default route, not a network */

struct route {
	uv_poll_t poll;
	int ask;    /* owned: questions */
	int events; /* owned: changes of addresses */
	uint32_t seq;
	struct address own[OWN_MAX];
	size_t nown;
	bool incomplete; /* there are more than OWN_MAX: nothing is dialled then */
};

static int netlink_socket(uint32_t groups)
{
	struct sockaddr_nl me = { .nl_family = AF_NETLINK, .nl_groups = groups };
	auto_fd int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0 || bind(fd, (struct sockaddr *)&me, sizeof(me)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static const struct rtattr *next_attribute(const struct rtattr *at, int *left)
{
	size_t n = RTA_ALIGN((size_t)at->rta_len);

	*left -= (int)n;
	return (const void *)((const uint8_t *)at + n);
}

static void take_address(struct address *a, const struct rtattr *at, uint8_t family)
{
	size_t n = family == AF_INET ? 4 : 16;

	if (RTA_PAYLOAD(at) != n)
		return;
	*a = (struct address){ .bits = (uint8_t)(n * 8) };
	memcpy(a->bytes, RTA_DATA(at), n);
}

static void add_own(struct route *r, const struct nlmsghdr *h)
{
	const struct ifaddrmsg *m = NLMSG_DATA(h);
	struct address address = { .bits = 0 }, local = { .bits = 0 };
	int left = (int)IFA_PAYLOAD(h);

	if (m->ifa_family != AF_INET && m->ifa_family != AF_INET6)
		return;
	for (const struct rtattr *at = IFA_RTA(m); RTA_OK(at, left); at = next_attribute(at, &left)) {
		if (at->rta_type == IFA_ADDRESS)
			take_address(&address, at, m->ifa_family);
		else if (at->rta_type == IFA_LOCAL)
			take_address(&local, at, m->ifa_family);
	}
	/* On a point-to-point link IFA_ADDRESS is the other end. */
	if (local.bits)
		address = local;
	if (address.bits == 0)
		return;
	if (r->nown == OWN_MAX)
		r->incomplete = true;
	else
		r->own[r->nown++] = address;
}

/* false: the dump is over. */
static bool read_dump(struct route *r, const uint8_t *bytes, size_t n)
{
	size_t left = n;

	for (const struct nlmsghdr *h = (const void *)bytes; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
		if (h->nlmsg_seq != r->seq)
			continue;
		if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
			return false;
		if (h->nlmsg_type == RTM_NEWADDR)
			add_own(r, h);
	}
	return true;
}

static void read_own(struct route *r)
{
	static uint8_t answer[ANSWER_MAX] __attribute__((aligned(8)));
	struct {
		struct nlmsghdr h;
		struct ifaddrmsg m;
	} q = { .h = { .nlmsg_len = sizeof(q), .nlmsg_type = RTM_GETADDR, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		       .nlmsg_seq = ++r->seq } };
	ssize_t n;

	r->nown = 0;
	r->incomplete = false;
	if (send(r->ask, &q, sizeof(q), 0) < 0) {
		r->incomplete = true;
		return;
	}
	do
		n = recv(r->ask, answer, sizeof(answer), 0);
	while (n > 0 && read_dump(r, answer, (size_t)n));
	if (n <= 0)
		r->incomplete = true;
}

static void on_change(uv_poll_t *h, int status, int events)
{
	struct route *r = container_of(h, struct route, poll);
	uint8_t bytes[4096];

	/* What has changed does not matter, nor whether the queue ran over (ENOBUFS). */
	while (recv(r->events, bytes, sizeof(bytes), 0) > 0 || errno == ENOBUFS)
		;
	read_own(r);
}

struct route *route_new(uv_loop_t *loop)
{
	struct route *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->ask = netlink_socket(0);
	r->events = netlink_socket(RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR);
	if (r->ask < 0 || r->events < 0 || uv_poll_init(loop, &r->poll, r->events) < 0) {
		if (r->ask >= 0)
			(void)close(r->ask);
		if (r->events >= 0)
			(void)close(r->events);
		free(r);
		return NULL;
	}
	read_own(r);
	(void)uv_poll_start(&r->poll, UV_READABLE, on_change);
	return r;
}

static void on_closed(uv_handle_t *h)
{
	free(container_of((uv_poll_t *)h, struct route, poll));
}

void route_free(struct route *r)
{
	if (!r)
		return;
	(void)uv_poll_stop(&r->poll);
	uv_close((uv_handle_t *)&r->poll, on_closed);
	(void)close(r->ask);
	(void)close(r->events);
}

/* --- one address --- */

struct question {
	struct nlmsghdr h;
	struct rtmsg m;
	struct rtattr at;
	uint8_t address[16];
};

/* What one answer says. */
struct answer {
	int error;      /* -EAGAIN: it was none */
	uint8_t type;   /* RTN_UNICAST */
	uint8_t prefix; /* of the route, where it was asked for */
	bool gateway, loopback;
};

static void read_route(const struct nlmsghdr *h, struct answer *ret)
{
	const struct rtmsg *m = NLMSG_DATA(h);
	int left = (int)RTM_PAYLOAD(h), oif = 0;

	*ret = (struct answer){ .type = m->rtm_type, .prefix = m->rtm_dst_len };
	for (const struct rtattr *at = RTM_RTA(m); RTA_OK(at, left); at = next_attribute(at, &left)) {
		if (at->rta_type == RTA_GATEWAY || at->rta_type == RTA_VIA)
			ret->gateway = true;
		else if (at->rta_type == RTA_OIF && RTA_PAYLOAD(at) == sizeof(oif))
			memcpy(&oif, RTA_DATA(at), sizeof(oif));
	}
	ret->loopback = oif == LOOPBACK_INDEX;
}

static void read_answer(const uint8_t *bytes, size_t n, uint32_t seq, struct answer *ret)
{
	size_t left = n;

	for (const struct nlmsghdr *h = (const void *)bytes; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
		if (h->nlmsg_seq != seq)
			continue;
		if (h->nlmsg_type == NLMSG_ERROR) {
			const struct nlmsgerr *e = NLMSG_DATA(h);

			ret->error = e->error < 0 && e->error != -EAGAIN ? e->error : -EPROTO;
		} else if (h->nlmsg_type == RTM_NEWROUTE) {
			read_route(h, ret);
		}
		return;
	}
}

/* match: about the route in the table rather than the way of this one address. */
static int ask_kernel(struct route *r, const struct address *a, bool match, struct answer *ret)
{
	static uint8_t bytes[ANSWER_MAX] __attribute__((aligned(8)));
	uint8_t len = a->bits / 8;
	struct question q = {
		.h = { .nlmsg_type = RTM_GETROUTE, .nlmsg_flags = NLM_F_REQUEST, .nlmsg_seq = ++r->seq },
		.m = { .rtm_family = len == 4 ? AF_INET : AF_INET6, .rtm_dst_len = a->bits,
		       .rtm_flags = match ? RTM_F_FIB_MATCH : 0 },
		.at = { .rta_type = RTA_DST, .rta_len = (unsigned short)RTA_LENGTH(len) },
	};

	memcpy(q.address, a->bytes, len);
	q.h.nlmsg_len = (uint32_t)(offsetof(struct question, address) + len);
	if (send(r->ask, &q, q.h.nlmsg_len, 0) < 0)
		return -errno;
	do {
		ssize_t n = recv(r->ask, bytes, sizeof(bytes), 0);

		if (n <= 0)
			return n < 0 ? -errno : -EPROTO;
		ret->error = -EAGAIN;
		read_answer(bytes, (size_t)n, r->seq, ret);
	} while (ret->error == -EAGAIN);
	return ret->error;
}

int route_look(struct route *r, struct policy_address *ret)
{
	struct answer way, match;
	int error;

	ret->own = ret->on_link = false;
	if (r->incomplete || ret->address.bits == 0)
		return -ENETUNREACH;
	error = ask_kernel(r, &ret->address, false, &way);
	if (error < 0)
		return error;
	if (way.type == RTN_LOCAL || way.type == RTN_BROADCAST || way.type == RTN_ANYCAST || way.loopback)
		ret->own = true;
	else if (way.type != RTN_UNICAST)
		return -ENETUNREACH;
	for (size_t i = 0; i < r->nown; i++)
		ret->own |= address_equal(&r->own[i], &ret->address);
	/* A default route into a device (a VPN's) names no router, and yet what lies behind is no neighbour. */
	ret->on_link = !way.gateway &&
		       (ask_kernel(r, &ret->address, true, &match) < 0 || match.gateway || match.prefix >= SHORTEST_LINK);
	return 0;
}
