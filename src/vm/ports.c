/* SPDX-License-Identifier: Apache-2.0
 *
 * ports: see ports.h. What a client sends is hostile only in its amount; what the guest sends is bounded by the stream's
 * window.
 */
#include "vm/ports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/log.h"
#include "base/outq.h"
#include "base/own.h"
#include "base/pump.h"
#include "base/str.h"
#include "wire/h2.h"

#define BACKLOG 128
#define ACCEPTS_PER_TURN 16
#define AGAIN_MS 1000 /* after an accept(2) that failed */
/* A chunk of a pump that the guest does not take at once. */
#define IN_MAX_BYTES (2 * 65536)

struct listener {
	struct ports *ports;
	struct listener *next;
	uv_poll_t poll;
	int fd; /* owned */
	struct portmap map; /* with the port that is listened on */
	bool chosen;        /* the host chose it */
	bool going;         /* ports_apply takes it back */
	struct conn *conns;
};

struct conn {
	struct pump pump; /* the client */
	struct listener *listener;
	struct conn *prev, *next;
	struct door_stream *stream; /* NULL once it has ended */
	struct buf in;              /* from the client, not yet taken by the guest */
	struct outq out;            /* to the client */
	bool client_eof, told_guest;
	bool guest_eof, told_client;
};

struct ports {
	uv_loop_t *loop;     /* borrowed */
	struct door *door;   /* borrowed; NULL: not open */
	uv_timer_t again;
	const char *starting; /* borrowed: the sandbox's name while the machine is not there yet; NULL */
	struct listener *listeners; /* owned, in the order of their publishing */
	size_t connections;
	unsigned handles; /* listeners and the timer, not yet closed */
	bool freed;
};

static void watch_all(struct ports *p);

static void let_go(struct ports *p)
{
	if (--p->handles == 0 && p->freed)
		free(p);
}

/* --- one connection --- */

static void drop(struct conn *c)
{
	struct ports *p = c->listener->ports;

	if (c->stream)
		door_cancel(TAKE_PTR(c->stream));
	if (c->prev)
		c->prev->next = c->next;
	else
		c->listener->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	p->connections--;
	watch_all(p);
}

/* The client sees a reset: what it got is not all. */
static void break_off(struct conn *c)
{
	struct linger now = { .l_onoff = 1 };

	(void)setsockopt(c->pump.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	drop(c);
	pump_stop(&c->pump);
}

/* Gives the guest what it takes; what is left stays in `in`, and the client is not read meanwhile. */
static void to_guest(struct conn *c)
{
	if (!c->stream)
		return;
	if (buf_len(&c->in) > 0)
		buf_consume(&c->in, door_write(c->stream, buf_bytes(&c->in), buf_len(&c->in)));
	if (buf_len(&c->in) == 0 && c->client_eof && !c->told_guest) {
		c->told_guest = true;
		door_shutdown(c->stream);
	}
	pump_set_reading(&c->pump, buf_len(&c->in) == 0);
}

static void guest_response(void *user, int status)
{
	if (status != 200)
		break_off(user);
}

static void guest_data(void *user, const uint8_t *bytes, size_t n)
{
	struct conn *c = user;

	/* More than the window allows: the guest breaks the protocol. */
	if (outq_append(&c->out, bytes, n) < 0)
		break_off(c);
	else
		pump_kick(&c->pump);
}

static void guest_eof(void *user)
{
	struct conn *c = user;

	c->guest_eof = true;
	pump_kick(&c->pump);
}

static void guest_writable(void *user)
{
	to_guest(user);
}

static void guest_closed(void *user, uint32_t error)
{
	struct conn *c = user;

	c->stream = NULL;
	if (error)
		break_off(c);
	else
		guest_eof(c);
}

static const struct door_stream_ops guest_ops = {
	.response = guest_response, .data = guest_data, .eof = guest_eof, .writable = guest_writable, .closed = guest_closed,
};

static int client_bytes(struct pump *p, const uint8_t *bytes, size_t n)
{
	struct conn *c = p->user;
	int r = buf_append(&c->in, bytes, n);

	if (r == 0)
		to_guest(c);
	return r;
}

static long client_pull(struct pump *p, const uint8_t **ret)
{
	struct conn *c = p->user;
	size_t freed;
	long n = outq_pull(&c->out, ret, &freed);

	if (freed > 0 && c->stream)
		door_consume(c->stream, freed);
	if (n > 0 || !c->guest_eof)
		return n;
	if (!c->told_client) {
		c->told_client = true;
		(void)shutdown(p->fd, SHUT_WR);
	}
	return c->stream ? 0 : -ESHUTDOWN;
}

static void client_eof(struct pump *p)
{
	struct conn *c = p->user;

	c->client_eof = true;
	to_guest(c);
}

static void client_end(struct pump *p, int error)
{
	drop(p->user);
}

static void client_closed(struct pump *p)
{
	struct conn *c = p->user;

	buf_done(&c->in);
	outq_done(&c->out);
	free(c);
}

static const struct pump_ops client_ops = {
	.bytes = client_bytes, .pull = client_pull, .eof = client_eof, .end = client_end, .closed = client_closed,
};

static void take(struct listener *l, int fd)
{
	struct ports *p = l->ports;
	struct conn *c = calloc(1, sizeof(*c));
	char authority[16];
	int one = 1;

	if (!c || pump_start(&c->pump, p->loop, fd, &client_ops, c) < 0) {
		if (!c)
			(void)close(fd);
		free(c);
		return;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	buf_init(&c->in, IN_MAX_BYTES);
	outq_init(&c->out, H2_STREAM_WINDOW);
	c->listener = l;
	c->next = l->conns;
	if (c->next)
		c->next->prev = c;
	l->conns = c;
	p->connections++;
	(void)str_format(authority, sizeof(authority), ":%u", (unsigned)l->map.sandbox_port);
	c->stream = door_open_to(p->door, "/port", authority, &guest_ops, c);
	if (!c->stream)
		break_off(c);
}

/* --- one listener --- */

static void on_again(uv_timer_t *t)
{
	watch_all(t->data);
}

static void on_connect(uv_poll_t *h, int status, int events)
{
	struct listener *l = h->data;
	struct ports *p = l->ports;

	for (int i = 0; i < ACCEPTS_PER_TURN && p->door && p->connections < PORTS_CONNECTIONS; i++) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			take(l, fd);
		} else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
			log_warn("event=accept port=%u error=\"%s\"", (unsigned)l->map.host_port, strerror(errno));
			(void)uv_poll_stop(&l->poll);
			(void)uv_timer_start(&p->again, on_again, AGAIN_MS, 0);
			return;
		} else {
			break;
		}
	}
	if (p->connections >= PORTS_CONNECTIONS)
		watch_all(p);
}

static void watch_all(struct ports *p)
{
	bool on = p->door && p->connections < PORTS_CONNECTIONS;

	for (struct listener *l = p->listeners; l; l = l->next) {
		if (on && !uv_is_active((uv_handle_t *)&l->poll))
			(void)uv_poll_start(&l->poll, UV_READABLE, on_connect);
		else if (!on)
			(void)uv_poll_stop(&l->poll);
	}
}

static void listener_closed(uv_handle_t *h)
{
	struct listener *l = h->data;
	struct ports *p = l->ports;

	free(l);
	let_go(p);
}

/* Resets its connections; it is out of the list already. */
static void listener_free(struct listener *l)
{
	while (l->conns)
		break_off(l->conns);
	(void)uv_poll_stop(&l->poll);
	uv_close((uv_handle_t *)&l->poll, listener_closed);
	own_close_p(&l->fd);
}

/* sandbox: the one that cannot start because of it; NULL: it runs. */
static int explain(const struct portmap *m, int errnum, const char *sandbox, struct err *err)
{
	char where[PORTMAP_TEXT_MAX];

	portmap_host(where, m);
	if (errnum == EADDRINUSE && sandbox)
		return err_set(err, ERR_CONFLICT, EADDRINUSE,
			       "cannot publish port %u: %s is in use on this host: end what uses it, or take it back with `sbx ports %s "
			       "--unpublish %s:%u`",
			       (unsigned)m->sandbox_port, where, sandbox, where, (unsigned)m->sandbox_port);
	if (errnum == EADDRINUSE)
		return err_set(err, ERR_CONFLICT, EADDRINUSE,
			       "cannot publish port %u: %s is in use on this host: choose another host port, or leave it out to have "
			       "one chosen",
			       (unsigned)m->sandbox_port, where);
	if (errnum == EADDRNOTAVAIL)
		return err_set(err, ERR_INVALID, EADDRNOTAVAIL, "cannot publish port %u: %s is no address of this host",
			       (unsigned)m->sandbox_port, m->host_ip);
	if (errnum == EACCES)
		return err_set(err, ERR_DENIED, EACCES,
			       "cannot publish port %u: %s needs root, as all host ports below 1024 do: choose a higher one",
			       (unsigned)m->sandbox_port, where);
	return err_errno(err, errnum, "cannot publish port %u at %s", (unsigned)m->sandbox_port, where);
}

int ports_bind(struct portmap *m)
{
	auto_fd int fd = socket(m->v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} sa = { 0 };
	socklen_t n = m->v6 ? sizeof(sa.v6) : sizeof(sa.v4);
	int one = 1;

	if (fd < 0)
		return -errno;
	sa.any.sa_family = m->v6 ? AF_INET6 : AF_INET;
	if (m->v6)
		sa.v6.sin6_port = htons(m->host_port);
	else
		sa.v4.sin_port = htons(m->host_port);
	(void)inet_pton(sa.any.sa_family, m->host_ip, m->v6 ? (void *)&sa.v6.sin6_addr : (void *)&sa.v4.sin_addr);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (m->v6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, &sa.any, n) < 0 || listen(fd, BACKLOG) < 0 || getsockname(fd, &sa.any, &n) < 0)
		return -errno;
	m->host_port = ntohs(m->v6 ? sa.v6.sin6_port : sa.v4.sin_port);
	return TAKE_FD(fd);
}

/* prefer: the port that was chosen last time; 0: none. inherited: a socket that listens there already; -1: none. */
static int listener_new(struct ports *p, const struct portmap *want, uint16_t prefer, int inherited, struct listener **ret,
			struct err *err)
{
	struct listener *l = calloc(1, sizeof(*l));
	int fd = inherited;

	if (!l)
		return err_errno(err, ENOMEM, "cannot publish a port");
	l->map = *want;
	l->chosen = want->host_port == 0;
	l->ports = p;
	if (fd < 0 && l->chosen && prefer) {
		l->map.host_port = prefer;
		fd = ports_bind(&l->map);
		if (fd < 0)
			l->map.host_port = 0;
	}
	if (fd < 0)
		fd = ports_bind(&l->map);
	if (fd >= 0 && uv_poll_init(p->loop, &l->poll, fd) == 0) {
		l->fd = fd;
		l->poll.data = l;
		p->handles++;
		*ret = l;
		return 0;
	}
	free(l);
	if (fd < 0)
		return explain(want, -fd, p->starting, err);
	(void)close(fd);
	return err_errno(err, ENOMEM, "cannot publish a port");
}

/* --- all of them --- */

static void append(struct ports *p, struct listener *l)
{
	struct listener **at = &p->listeners;

	while (*at)
		at = &(*at)->next;
	*at = l;
}

static size_t count(const struct ports *p)
{
	size_t n = 0;

	for (const struct listener *l = p->listeners; l; l = l->next)
		n++;
	return n;
}

struct ports *ports_new(uv_loop_t *loop, const struct spec *spec, struct err *err)
{
	struct ports *p = calloc(1, sizeof(*p));

	if (!p) {
		(void)err_errno(err, ENOMEM, "cannot publish ports");
		return NULL;
	}
	p->loop = loop;
	(void)uv_timer_init(loop, &p->again);
	p->again.data = p;
	p->handles = 1;
	p->starting = spec->name;
	for (size_t i = 0; i < spec->nports; i++) {
		struct listener *l;

		if (listener_new(p, &spec->ports[i], spec->prefer[i], -1, &l, err) < 0) {
			ports_free(p);
			return NULL;
		}
		append(p, l);
	}
	p->starting = NULL;
	return p;
}

void ports_open(struct ports *p, struct door *door)
{
	p->door = door;
	watch_all(p);
}

size_t ports_connections(const struct ports *p)
{
	return p ? p->connections : 0;
}

void ports_shut(struct ports *p)
{
	struct listener *l;

	if (!p)
		return;
	p->door = NULL;
	while ((l = p->listeners)) {
		p->listeners = l->next;
		listener_free(l);
	}
}

static void timer_closed(uv_handle_t *h)
{
	let_go(h->data);
}

void ports_free(struct ports *p)
{
	if (!p || p->freed)
		return;
	ports_shut(p);
	p->freed = true;
	uv_close((uv_handle_t *)&p->again, timer_closed);
}

/* Marks what goes. */
static int mark(struct ports *p, const struct portmap_change *c, struct err *err)
{
	for (struct listener *l = p->listeners; l; l = l->next)
		l->going = false;
	for (size_t i = 0; i < c->ndel; i++) {
		bool found = false;

		for (struct listener *l = p->listeners; l; l = l->next)
			if (portmap_fits(&c->del[i], &l->map))
				found = l->going = true;
		if (!found)
			return portmap_not_found(&c->del[i], err);
	}
	return 0;
}

/* The socket of one that goes passes to the one that comes at the same address. */
static int inherit(struct ports *p, const struct portmap *m)
{
	for (struct listener *l = p->listeners; l; l = l->next)
		if (l->going && portmap_clash(&l->map, m))
			return fcntl(l->fd, F_DUPFD_CLOEXEC, 0);
	return -1;
}

static void take_back(struct ports *p)
{
	struct listener **at = &p->listeners;

	while (*at) {
		struct listener *l = *at;

		if (!l->going) {
			at = &l->next;
			continue;
		}
		*at = l->next;
		listener_free(l);
	}
}

int ports_apply(struct ports *p, const struct portmap_change *c, struct err *err)
{
	struct listener *fresh[PORTMAP_MAX];
	size_t n = 0, going = 0;
	int r = mark(p, c, err);

	for (const struct listener *l = p->listeners; l; l = l->next)
		going += l->going;
	if (r == 0 && count(p) - going + c->nadd > PORTMAP_MAX)
		r = err_set(err, ERR_INVALID, E2BIG, "at most %d ports can be published", PORTMAP_MAX);
	for (; r == 0 && n < c->nadd; n++) {
		r = listener_new(p, &c->add[n], 0, inherit(p, &c->add[n]), &fresh[n], err);
		if (r < 0)
			break;
	}
	if (r < 0) {
		while (n > 0)
			listener_free(fresh[--n]);
		return r;
	}
	take_back(p);
	for (size_t i = 0; i < n; i++)
		append(p, fresh[i]);
	watch_all(p);
	return 0;
}

bool ports_find(const struct ports *p, uint16_t host_port, uint16_t sandbox_port, struct portmap *ret)
{
	for (const struct listener *l = p ? p->listeners : NULL; l; l = l->next)
		if (l->map.sandbox_port == sandbox_port && (host_port == 0 || l->map.host_port == host_port)) {
			*ret = l->map;
			return true;
		}
	return false;
}

json_t *ports_describe(const struct ports *p)
{
	json_t *list = json_array();

	for (const struct listener *l = p ? p->listeners : NULL; l; l = l->next)
		(void)json_array_append_new(list, portmap_write(&l->map));
	return list;
}
