/* SPDX-License-Identifier: Apache-2.0
 *
 * netgate: see netgate.h. It looks into no byte of a connection: what is asked for and whether it is allowed is the
 * host's business. The kernel has accepted before we know anything, so a refusal is always a reset.
 */
#include "guest/netgate.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/own.h"
#include "base/str.h"
#include "guest/netdns.h"
#include "guest/netjoin.h"
#include "guest/netnames.h"
#include "guest/netsock.h"

#define BACKLOG 1024
#define PER_TURN 64
#define PROXY_AUTHORITY "gateway.docker.internal:3128"

struct listener {
	uv_poll_t poll;
	struct netgate *gate;
	int fd; /* owned */
	uint16_t port;
};

struct netgate {
	uv_loop_t *loop; /* borrowed */
	uint32_t address;
	struct listener transparent, proxy;
	struct netnames *names; /* owned */
	struct netdns *dns;     /* owned */
	struct netdoor *door;   /* owned */
	size_t connections;
	bool freed;
	unsigned handles;
};

static void maybe_free(struct netgate *g)
{
	if (!g->freed || g->handles || g->connections)
		return;
	netnames_free(g->names);
	free(g);
}

static void on_kick(void *user)
{
	struct netgate *g = user;

	if (!g->freed)
		netdoor_kick(g->door);
}

static void on_over(void *user)
{
	struct netgate *g = user;

	g->connections--;
	maybe_free(g);
}

static const struct netjoin_ops join_ops = { .kick = on_kick, .over = on_over };

/* Where a connection wants to go, as the stream's authority. False: it came straight to our listener. */
static bool authority_of(struct netgate *g, const struct listener *l, int fd, char dst[NETGATE_AUTHORITY_MAX])
{
	const char *name;
	uint32_t to;
	uint16_t port;

	if (l == &g->proxy)
		return str_format(dst, NETGATE_AUTHORITY_MAX, "%s", PROXY_AUTHORITY) == 0;
	if (netsock_original(fd, &to, &port) < 0 || (to == g->address && port == l->port))
		return false;
	name = netnames_name(g->names, to, uv_hrtime() / 1000000);
	if (name)
		return str_format(dst, NETGATE_AUTHORITY_MAX, "%s:%u", name, port) == 0;
	return str_format(dst, NETGATE_AUTHORITY_MAX, "%u.%u.%u.%u:%u", to >> 24, to >> 16 & 255, to >> 8 & 255, to & 255,
			  port) == 0;
}

static void welcome(struct netgate *g, const struct listener *l, int fd)
{
	char authority[NETGATE_AUTHORITY_MAX];
	struct netjoin *j;
	int on = 1;

	if (g->connections >= NETGATE_CONNECTIONS || !netdoor_is_open(g->door) || !authority_of(g, l, fd, authority)) {
		netjoin_refuse(fd);
		return;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	j = netjoin_new(g->loop, fd, &join_ops, g);
	if (!j)
		return;
	g->connections++;
	netdoor_connect(g->door, authority, j);
}

static void on_listener(uv_poll_t *h, int status, int events)
{
	struct listener *l = h->data;

	for (int i = 0; i < PER_TURN; i++) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return;
		welcome(l->gate, l, fd);
	}
}

static int listen_at(struct netgate *g, struct listener *l, uint16_t port, struct err *err)
{
	int r;

	l->gate = g;
	l->port = port;
	l->fd = netsock_listen(SOCK_STREAM, g->address, &l->port, BACKLOG);
	r = l->fd < 0 ? l->fd : uv_poll_init(g->loop, &l->poll, l->fd);
	if (r < 0) {
		own_close_p(&l->fd);
		return err_errno(err, -r, "cannot listen at port %u", port);
	}
	g->handles++;
	l->poll.data = l;
	(void)uv_poll_start(&l->poll, UV_READABLE, on_listener);
	return 0;
}

int netgate_start(const struct netgate_config *c, struct netgate **ret, struct err *err)
{
	struct netgate *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return err_errno(err, ENOMEM, "network");
	g->loop = c->loop;
	g->address = c->address;
	g->transparent.fd = g->proxy.fd = -1;
	g->names = netnames_new(c->seed);
	g->door = g->names ? netdoor_new(c->loop, c->door, c->door_user) : NULL;
	if (!g->door)
		r = err_errno(err, ENOMEM, "network");
	else if ((r = listen_at(g, &g->transparent, c->port, err)) == 0 &&
		 (r = listen_at(g, &g->proxy, c->proxy_port, err)) == 0)
		r = netdns_start(c->loop, g->names, c->address, c->dns_port, &g->dns, err);
	if (r < 0) {
		netgate_free(g);
		return r;
	}
	*ret = g;
	return 0;
}

static void on_listener_closed(uv_handle_t *h)
{
	struct listener *l = h->data;
	struct netgate *g = l->gate;

	g->handles--;
	maybe_free(g);
}

static void unlisten(struct listener *l)
{
	if (l->fd < 0)
		return;
	(void)uv_poll_stop(&l->poll);
	uv_close((uv_handle_t *)&l->poll, on_listener_closed);
	own_close_p(&l->fd);
}

void netgate_free(struct netgate *g)
{
	if (!g || g->freed)
		return;
	g->freed = true;
	unlisten(&g->transparent);
	unlisten(&g->proxy);
	netdns_free(g->dns);
	netdoor_free(g->door);
	maybe_free(g);
}

void netgate_ports(const struct netgate *g, uint16_t *ret_port, uint16_t *ret_proxy_port, uint16_t *ret_dns_port)
{
	*ret_port = g->transparent.port;
	*ret_proxy_port = g->proxy.port;
	*ret_dns_port = netdns_port(g->dns);
}

size_t netgate_connections(const struct netgate *g)
{
	return g->connections;
}

void netgate_renew(struct netgate *g)
{
	netdoor_renew(g->door);
}

bool netgate_is_open(const struct netgate *g)
{
	return netdoor_is_open(g->door);
}
