/* SPDX-License-Identifier: Apache-2.0
 *
 * netdns: see netdns.h. Enters: messages of any program of the sandbox, decoded by wire/dns. A TCP connection has one
 * message's buffer and a deadline; who does not take an answer at once is closed.
 */
#include "guest/netdns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/own.h"
#include "base/str.h"
#include "guest/netsock.h"
#include "wire/dest.h"
#include "wire/dns.h"

#define GATEWAY "gateway.docker.internal"
#define LOCALHOST "localhost"
#define LOOPBACK 0x7f000001U
#define PER_TURN 64 /* datagrams or connections, so that one talker does not starve the loop */
#define TCP_IDLE_MS 10000
#define TCP_BACKLOG 64

struct netdns {
	struct netnames *names; /* borrowed */
	uv_loop_t *loop;        /* borrowed */
	uint32_t address;
	uint16_t port;
	uv_poll_t udp, tcp;
	int udp_fd, tcp_fd; /* owned */
	bool freed;
	unsigned handles; /* that libuv knows, and those of the clients */
	struct client *clients;
	size_t nclients;
};

struct client {
	struct netdns *dns;
	struct client *prev, *next;
	uv_poll_t poll;
	uv_timer_t timer;
	unsigned handles;
	int fd; /* owned; -1 once closed */
	size_t have;
	uint8_t in[2 + DNS_QUERY_MAX];
};

/* ---- answers ---- */

static int answer_a(struct netnames *names, uint32_t gateway, const struct dns_query *q, struct buf *out)
{
	uint32_t address = gateway, raw;
	int r = 0;

	if (str_eq(q->name, LOCALHOST) || str_ends(q->name, "." LOCALHOST))
		address = LOOPBACK;
	else if (!str_eq(q->name, GATEWAY))
		r = netnames_address(names, q->name, uv_hrtime() / 1000000, &address);
	if (r < 0)
		return dns_encode_refusal(out, q, DNS_SERVFAIL);
	raw = htonl(address);
	return dns_encode_a(out, q, (const uint8_t *)&raw, NETDNS_TTL);
}

static int answer_ptr(struct netnames *names, uint32_t gateway, const struct dns_query *q, struct buf *out)
{
	const char *name = NULL;
	uint32_t raw;

	if (dns_reverse_v4(q->name, (uint8_t *)&raw))
		name = ntohl(raw) == gateway ? GATEWAY : netnames_name(names, ntohl(raw), 0);
	return name ? dns_encode_ptr(out, q, name, NETDNS_TTL) : dns_encode_none(out, q, DNS_NXDOMAIN, NETDNS_TTL);
}

static int answer(struct netnames *names, uint32_t gateway, const struct dns_query *q, struct buf *out)
{
	struct dest d;

	if (q->class != DNS_CLASS_IN)
		return dns_encode_refusal(out, q, DNS_REFUSED);
	if (q->type == DNS_TYPE_PTR)
		return answer_ptr(names, gateway, q, out);
	if (!q->host_name || !strchr(q->name, '.') || dest_make(q->name, strlen(q->name), 1, DEST_TCP, &d) != DEST_OK ||
	    d.kind != DEST_NAME)
		return dns_encode_none(out, q, DNS_NXDOMAIN, NETDNS_TTL);
	if (q->type != DNS_TYPE_A)
		return dns_encode_none(out, q, DNS_NOERROR, NETDNS_TTL);
	return answer_a(names, gateway, q, out);
}

void netdns_answer(struct netnames *names, uint32_t gateway, const uint8_t *bytes, size_t n, bool tcp, struct buf *out)
{
	struct dns_query q;
	enum dns_result r = dns_decode(bytes, n, &q);

	if (r == DNS_DROP)
		return;
	if (tcp)
		q.udp_bytes = UINT16_MAX;
	/* What cannot be encoded is not answered. */
	if (r == DNS_ANSWER)
		(void)answer(names, gateway, &q, out);
	else
		(void)dns_encode_error(out, &q, r);
}

/* ---- life ---- */

static void maybe_free(struct netdns *d)
{
	if (d->freed && d->handles == 0)
		free(d);
}

static void on_closed(uv_handle_t *h)
{
	struct netdns *d = h->data;

	d->handles--;
	maybe_free(d);
}

static void on_client_closed(uv_handle_t *h)
{
	struct client *c = h->data;
	struct netdns *d = c->dns;

	d->handles--;
	if (--c->handles == 0)
		free(c);
	maybe_free(d);
}

static void client_close(struct client *c)
{
	if (c->fd < 0)
		return;
	(void)uv_poll_stop(&c->poll);
	uv_close((uv_handle_t *)&c->poll, on_client_closed);
	uv_close((uv_handle_t *)&c->timer, on_client_closed);
	own_close_p(&c->fd);
	if (c->prev)
		c->prev->next = c->next;
	else
		c->dns->clients = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->dns->nclients--;
}

/* ---- UDP ---- */

static void on_udp(uv_poll_t *h, int status, int events)
{
	struct netdns *d = h->data;
	uint8_t in[DNS_QUERY_MAX + 1];
	struct buf out;

	buf_init(&out, NETDNS_ANSWER_MAX);
	for (int i = 0; i < PER_TURN; i++) {
		struct sockaddr_in from;
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(d->udp_fd, in, sizeof(in), MSG_DONTWAIT, (struct sockaddr *)&from, &len);

		if (n < 0)
			break;
		netdns_answer(d->names, d->address, in, (size_t)n, false, &out);
		if (buf_len(&out) > 0)
			(void)sendto(d->udp_fd, buf_bytes(&out), buf_len(&out), MSG_DONTWAIT, (struct sockaddr *)&from, len);
		buf_consume(&out, buf_len(&out));
	}
	buf_done(&out);
}

/* ---- TCP ---- */

static bool send_answer(struct client *c, const uint8_t *query, size_t n)
{
	uint8_t length[2] = { 0, 0 };
	struct buf out;
	bool sent = false;

	buf_init(&out, 2 + NETDNS_ANSWER_MAX);
	if (buf_append(&out, length, 2) == 0) {
		size_t body;

		netdns_answer(c->dns->names, c->dns->address, query, n, true, &out);
		body = buf_len(&out) - 2;
		out.data[out.head] = (uint8_t)(body >> 8);
		out.data[out.head + 1] = (uint8_t)body;
		sent = body > 0 && send(c->fd, buf_bytes(&out), body + 2, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)body + 2;
	}
	buf_done(&out);
	return sent;
}

static void on_client(uv_poll_t *h, int status, int events)
{
	struct client *c = h->data;
	ssize_t n;

	if (c->fd < 0)
		return;
	n = status < 0 ? 0 : recv(c->fd, c->in + c->have, sizeof(c->in) - c->have, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_close(c);
		return;
	}
	c->have += (size_t)n;
	while (c->have >= 2) {
		size_t body = (size_t)(c->in[0] << 8 | c->in[1]);

		if (body > DNS_QUERY_MAX) {
			client_close(c);
			return;
		}
		if (c->have < 2 + body)
			break;
		if (!send_answer(c, c->in + 2, body)) {
			client_close(c);
			return;
		}
		c->have -= 2 + body;
		memmove(c->in, c->in + 2 + body, c->have);
		(void)uv_timer_again(&c->timer);
	}
}

static void on_idle(uv_timer_t *t)
{
	client_close(t->data);
}

static void client_new(struct netdns *d, int fd)
{
	struct client *c = d->nclients < NETDNS_TCP_MAX ? calloc(1, sizeof(*c)) : NULL;

	if (!c || uv_poll_init(d->loop, &c->poll, fd) < 0) {
		free(c);
		(void)close(fd);
		return;
	}
	(void)uv_timer_init(d->loop, &c->timer);
	c->dns = d;
	c->fd = fd;
	c->poll.data = c->timer.data = c;
	c->handles = 2;
	d->handles += 2;
	c->next = d->clients;
	if (c->next)
		c->next->prev = c;
	d->clients = c;
	d->nclients++;
	(void)uv_poll_start(&c->poll, UV_READABLE, on_client);
	(void)uv_timer_start(&c->timer, on_idle, TCP_IDLE_MS, TCP_IDLE_MS);
}

static void on_tcp(uv_poll_t *h, int status, int events)
{
	struct netdns *d = h->data;

	for (int i = 0; i < PER_TURN; i++) {
		int fd = accept4(d->tcp_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return;
		client_new(d, fd);
	}
}

/* ---- start ---- */

int netdns_start(uv_loop_t *loop, struct netnames *names, uint32_t address, uint16_t port, struct netdns **ret,
		 struct err *err)
{
	auto_fd int tcp = -1, udp = -1;
	struct netdns *d;
	int r;

	tcp = netsock_listen(SOCK_STREAM, address, &port, TCP_BACKLOG);
	udp = tcp < 0 ? tcp : netsock_listen(SOCK_DGRAM, address, &port, 0);
	if (udp < 0)
		return err_errno(err, -udp, "cannot listen for DNS queries");
	d = calloc(1, sizeof(*d));
	r = d ? uv_poll_init(loop, &d->udp, udp) : -ENOMEM;
	if (r < 0) {
		free(d);
		return err_errno(err, -r, "cannot listen for DNS queries");
	}
	(void)uv_poll_init(loop, &d->tcp, tcp);
	d->names = names;
	d->loop = loop;
	d->address = address;
	d->port = port;
	d->udp.data = d->tcp.data = d;
	d->udp_fd = TAKE_FD(udp);
	d->tcp_fd = TAKE_FD(tcp);
	d->handles = 2;
	(void)uv_poll_start(&d->udp, UV_READABLE, on_udp);
	(void)uv_poll_start(&d->tcp, UV_READABLE, on_tcp);
	*ret = d;
	return 0;
}

uint16_t netdns_port(const struct netdns *d)
{
	return d->port;
}

void netdns_free(struct netdns *d)
{
	if (!d || d->freed)
		return;
	d->freed = true;
	while (d->clients)
		client_close(d->clients);
	(void)uv_poll_stop(&d->udp);
	(void)uv_poll_stop(&d->tcp);
	own_close_p(&d->udp_fd);
	own_close_p(&d->tcp_fd);
	uv_close((uv_handle_t *)&d->udp, on_closed);
	uv_close((uv_handle_t *)&d->tcp, on_closed);
}
