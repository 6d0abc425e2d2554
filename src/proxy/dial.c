/* SPDX-License-Identifier: Apache-2.0
 *
 * dial: see dial.h. Steps: addresses known (literal, host, resolve) → classify → record → connect in staggered attempts → a tunnel
 * through the upstream proxy where there is one. The only place of sbx-proxy that calls connect(2) on a TCP socket.
 */
#include "proxy/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "proxy/proxy.h"
#include "proxy/resolve.h"
#include "proxy/route.h"
#include "proxy/sock.h"
#include "proxy/tunnel.h"
#include "proxy/upstream.h"

struct attempt {
	uv_poll_t poll;
	struct dial *dial;
	int fd; /* owned; -1: none, or over */
};

struct dial {
	struct dial *prev, *next;
	struct dials *dials;
	struct proxy *proxy;
	struct flow *flow; /* borrowed */
	bool asked;
	dial_done *done;
	void *user;
	struct turn_item item;     /* addresses that need no lookup, or a failure, are dealt with in the next turn */
	const char *failed;        /* in the next turn: that */
	struct resolve_wait *wait; /* of the flow's name, or of the upstream proxy's */
	struct tunnel *tunnel;
	uv_timer_t total, stagger;
	unsigned int handles;      /* open: the memory goes with the last */
	bool over;
	struct address known[2 * RESOLVE_ADDRESSES]; /* what the flow's name resolved to */
	size_t nknown;
	struct policy_address passed[DIAL_ADDRESSES_MAX]; /* of these, what may be dialled, in order */
	size_t npassed;
	struct upstream_proxy via; /* set: through it */
	struct address to[DIAL_ADDRESSES_MAX]; /* what is connected to: the same, or the upstream proxy's addresses */
	uint16_t port;
	size_t nto, next_to;
	struct attempt attempts[DIAL_ADDRESSES_MAX];
};

struct dials {
	struct dial *first;
	size_t n;
};

static void connect_next(struct dial *d);

/* --- ending --- */

static void handle_closed(struct dial *d)
{
	if (--d->handles == 0)
		free(d);
}

static void timer_closed(uv_handle_t *h)
{
	handle_closed(h->data);
}

static void poll_closed(uv_handle_t *h)
{
	handle_closed(container_of((uv_poll_t *)h, struct attempt, poll)->dial);
}

/* The descriptor is the caller's; -1: there is none. */
static int attempt_take(struct attempt *a)
{
	if (a->fd < 0)
		return -1;
	(void)uv_poll_stop(&a->poll);
	uv_close((uv_handle_t *)&a->poll, poll_closed);
	return TAKE_FD(a->fd);
}

static void attempt_end(struct attempt *a)
{
	int fd = attempt_take(a);

	if (fd >= 0)
		(void)close(fd);
}

/* Lets go of everything; the memory goes later. */
static void dial_end(struct dial *d)
{
	if (d->over)
		return;
	d->over = true;
	if (d->prev)
		d->prev->next = d->next;
	else
		d->dials->first = d->next;
	if (d->next)
		d->next->prev = d->prev;
	d->dials->n--;
	turn_drop(&d->item);
	if (d->wait)
		resolve_cancel(TAKE_PTR(d->wait));
	tunnel_cancel(TAKE_PTR(d->tunnel));
	for (size_t i = 0; i < d->next_to; i++)
		attempt_end(&d->attempts[i]);
	uv_close((uv_handle_t *)&d->total, timer_closed);
	uv_close((uv_handle_t *)&d->stagger, timer_closed);
}

static void finish(struct dial *d, struct dial_result *r)
{
	dial_done *done = d->done;
	void *user = d->user;

	r->recorded_allow = !r->chan && d->flow->recorded;
	dial_end(d);
	done(user, r);
}

/* A refusal that is recorded, unless the permission was already. */
static void refuse(struct dial *d, struct decision *dn)
{
	struct dial_result r = { .chan = NULL };

	if (!d->flow->recorded)
		(void)decide_record(d->proxy->decide, d->flow, dn);
	r.decision = *dn;
	finish(d, &r);
}

static void fail(struct dial *d, const char *reason)
{
	char dest[DEST_PRINT_MAX], text[DEST_PRINT_MAX + 128];
	struct decision dn;

	dest_print(&d->flow->dest, dest);
	(void)str_format(text, sizeof(text), "%s %s", dest,
		       str_eq(reason, "unresolved") ? "has no address: there is no such name, or the name servers do not answer"
		       : str_eq(reason, "limit")    ? "is one of too many names or connections at a time"
		       : str_eq(reason, "timeout")  ? "does not answer: no connection in time"
						    : "cannot be reached");
	decide_refuse(d->proxy->decide, reason, text, &dn);
	if (d->flow->recorded)
		d->flow->error = reason;
	refuse(d, &dn);
}

static void on_total(uv_timer_t *t)
{
	fail(t->data, "timeout");
}

/* --- connecting --- */

static void connected(struct dial *d, struct chan *c, struct policy_address *at)
{
	struct dial_result r = { .chan = c, .at = *at };

	d->flow->address = at->address;
	finish(d, &r);
}

static void on_tunnel(void *user, struct chan *c, int status)
{
	struct dial *d = user;
	struct policy_address none = { .own = false };

	d->tunnel = NULL;
	if (c) {
		connected(d, c, d->npassed > 0 ? &d->passed[0] : &none);
		return;
	}
	log_warn("event=upstream_refused status=%d", status);
	fail(d, "unreachable");
}

static void start_tunnel(struct dial *d, struct chan *c)
{
	struct dest target = d->flow->dest;

	/* By the address that passed: the other proxy does not get to choose another one. */
	if (d->npassed > 0) {
		char text[ADDRESS_PRINT_MAX];

		address_print(&d->passed[0].address, text);
		if (dest_make(text, strlen(text), target.port, DEST_TCP, &target) != DEST_OK) {
			chan_free(c);
			fail(d, "unreachable");
			return;
		}
	}
	d->tunnel = tunnel_start(c, &d->via, &target, on_tunnel, d);
	if (!d->tunnel)
		fail(d, "unreachable");
}

static socklen_t to_sockaddr(const struct address *a, uint16_t port, struct sockaddr_storage *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (a->bits == 32) {
		struct sockaddr_in *in = (struct sockaddr_in *)ret;

		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, a->bytes, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	memcpy(&in6->sin6_addr, a->bytes, 16);
	return sizeof(*in6);
}

/* Whether the socket is connected to the very address. */
static bool is_connected_to(int fd, const struct address *a, uint16_t port)
{
	struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
	socklen_t n = sizeof(ss);
	struct address peer;
	in_port_t got;

	if (getpeername(fd, (struct sockaddr *)&ss, &n) < 0 || address_from_sockaddr((struct sockaddr *)&ss, n, &peer) < 0)
		return false;
	got = ss.ss_family == AF_INET ? ((struct sockaddr_in *)&ss)->sin_port : ((struct sockaddr_in6 *)&ss)->sin6_port;
	return address_equal(&peer, a) && got == htons(port);
}

static void attempt_won(struct dial *d, size_t i)
{
	struct attempt *a = &d->attempts[i];
	int fd = attempt_take(a);
	struct chan *c;

	if (!is_connected_to(fd, &d->to[i], d->port)) {
		(void)close(fd);
		fail(d, "unreachable");
		return;
	}
	for (size_t k = 0; k < d->next_to; k++)
		attempt_end(&d->attempts[k]);
	(void)uv_timer_stop(&d->stagger);
	c = sock_new(d->proxy->loop, &d->proxy->turn, fd);
	if (!c)
		fail(d, "unreachable");
	else if (d->via.set)
		start_tunnel(d, c);
	else
		connected(d, c, &d->passed[i]);
}

/* That one failed: the next at once, or, where it was the last one, the end. */
static void attempt_lost(struct dial *d)
{
	if (d->next_to < d->nto) {
		connect_next(d);
		return;
	}
	for (size_t i = 0; i < d->next_to; i++)
		if (d->attempts[i].fd >= 0)
			return;
	fail(d, "unreachable");
}

static void on_writable(uv_poll_t *h, int status, int events)
{
	struct attempt *a = container_of(h, struct attempt, poll);
	struct dial *d = a->dial;
	int error = status < 0 ? EIO : 0;
	socklen_t n = sizeof(error);

	if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		error = errno;
	if (error == 0 && status == 0) {
		attempt_won(d, (size_t)(a - d->attempts));
		return;
	}
	attempt_end(a);
	attempt_lost(d);
}

/* 0: it is on its way. */
static int attempt_start(struct dial *d, struct attempt *a, const struct address *to)
{
	static const int one = 1;
	struct sockaddr_storage ss;
	socklen_t n = to_sockaddr(to, d->port, &ss);
	auto_fd int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&ss, n) < 0 && errno != EINPROGRESS)
		return -errno;
	if (uv_poll_init(d->proxy->loop, &a->poll, fd) < 0)
		return -ENOMEM;
	d->handles++;
	a->fd = TAKE_FD(fd);
	(void)uv_poll_start(&a->poll, UV_WRITABLE, on_writable);
	return 0;
}

static void on_stagger(uv_timer_t *t)
{
	struct dial *d = t->data;

	if (d->next_to < d->nto)
		connect_next(d);
}

static void connect_next(struct dial *d)
{
	while (d->next_to < d->nto) {
		size_t i = d->next_to++;
		struct attempt *a = &d->attempts[i];

		a->dial = d;
		a->fd = -1;
		if (attempt_start(d, a, &d->to[i]) == 0) {
			(void)uv_timer_start(&d->stagger, on_stagger, DIAL_STAGGER_MS, 0);
			return;
		}
	}
	attempt_lost(d);
}

static void connect_all(struct dial *d)
{
	(void)uv_timer_start(&d->total, on_total, DIAL_TOTAL_MS, 0);
	connect_next(d);
}

/* --- which addresses --- */

static void on_proxy_resolved(void *user, const struct resolve_result *res)
{
	struct dial *d = user;

	d->wait = NULL;
	for (size_t i = 0; i < res->n && d->nto < DIAL_ADDRESSES_MAX; i++)
		d->to[d->nto++] = res->addresses[i];
	if (d->nto == 0) {
		log_warn("event=upstream_unresolved");
		fail(d, "unreachable");
		return;
	}
	connect_all(d);
}

/* The upstream proxy is the host user's choice: its address is not the policy's business. */
static void connect_via(struct dial *d)
{
	static const struct address loopback = { { 127, 0, 0, 1 }, 32 };

	d->port = d->via.dest.port;
	if (address_from_dest(&d->via.dest, &d->to[0])) {
		d->nto = 1;
	} else if (str_eq(d->via.dest.host, "localhost")) {
		d->to[0] = loopback;
		d->nto = 1;
	} else {
		d->wait = resolve_start(d->proxy->resolve, d->via.dest.host, on_proxy_resolved, d);
		if (!d->wait)
			fail(d, "limit");
		return;
	}
	connect_all(d);
}

static void connect_direct(struct dial *d)
{
	d->port = d->flow->dest.port;
	for (size_t i = 0; i < d->npassed; i++)
		d->to[i] = d->passed[i].address;
	d->nto = d->npassed;
	connect_all(d);
}

/* Families in turn, IPv6 first; otherwise as they came. */
static void sort_passed(struct dial *d)
{
	struct policy_address sorted[DIAL_ADDRESSES_MAX];
	size_t at[2] = { 0, 0 };

	for (size_t i = 0; i < d->npassed; i++) {
		uint8_t want = i % 2 == 0 ? 128 : 32;
		size_t *from = &at[want == 32];

		while (*from < d->npassed && d->passed[*from].address.bits != want)
			(*from)++;
		if (*from == d->npassed) {
			/* That family is used up. */
			want = want == 32 ? 128 : 32;
			from = &at[want == 32];
			while (*from < d->npassed && d->passed[*from].address.bits != want)
				(*from)++;
		}
		sorted[i] = d->passed[(*from)++];
	}
	memcpy(d->passed, sorted, d->npassed * sizeof(sorted[0]));
}

/* Asks the kernel and the policy about each. true: *dn is the permission; false: the refusal, or there was no way (reason ""). */
static bool classify(struct dial *d, bool host, struct decision *dn)
{
	struct decision one;
	bool denied = false, allowed = false;

	dn->reason = "";
	for (size_t i = 0; i < d->nknown && d->npassed < DIAL_ADDRESSES_MAX; i++) {
		struct policy_address at = { .address = d->known[i], .own = host };
		/* Where another proxy goes on, this host may have no route. */
		bool way = host || route_look(d->proxy->route, &at) == 0 || d->via.set;

		decide_now(d->proxy->decide, d->flow, &at, d->asked, &one);
		if (one.allow && !way)
			continue;
		if (one.allow)
			d->passed[d->npassed++] = at;
		if (one.allow ? !allowed : !denied && !allowed)
			*dn = one;
		*(one.allow ? &allowed : &denied) = true;
	}
	return allowed;
}

static void on_addresses(struct dial *d, const char *error)
{
	bool host = str_eq(d->flow->dest.host, POLICY_HOST_NAME), ok;
	const struct upstream_proxy *via = upstream_for(d->proxy->upstream, d->flow, d->known, d->nknown);
	struct decision dn;

	if (via)
		d->via = *via;
	if (d->nknown == 0 && (!d->via.set || !str_eq(error, "unresolved"))) {
		fail(d, error);
		return;
	}
	if (d->nknown == 0) {
		/* Only the other proxy knows the name. */
		decide_now(d->proxy->decide, d->flow, NULL, d->asked, &dn);
		ok = dn.allow;
	} else {
		ok = classify(d, host, &dn);
	}
	if (!ok && dn.reason[0] == 0) {
		fail(d, "unreachable");
		return;
	}
	/* A second try of the same flow has its record already. */
	if (!ok || (!d->flow->recorded && decide_record(d->proxy->decide, d->flow, &dn) < 0)) {
		refuse(d, &dn);
		return;
	}
	if (!host)
		sort_passed(d);
	if (d->via.set)
		connect_via(d);
	else
		connect_direct(d);
}

static void on_resolved(void *user, const struct resolve_result *res)
{
	struct dial *d = user;

	d->wait = NULL;
	d->nknown = res->n < ARRAY_LEN(d->known) ? res->n : ARRAY_LEN(d->known);
	memcpy(d->known, res->addresses, d->nknown * sizeof(d->known[0]));
	on_addresses(d, res->error);
}

static void on_turn(struct turn_item *i)
{
	struct dial *d = container_of(i, struct dial, item);

	if (d->failed)
		fail(d, d->failed);
	else
		on_addresses(d, "unresolved");
}

static void find_addresses(struct dial *d)
{
	static const struct address v4 = { { 127, 0, 0, 1 }, 32 }, v6 = { { [15] = 1 }, 128 };
	const struct dest *dest = &d->flow->dest;

	d->item.run = on_turn;
	if (str_eq(dest->host, POLICY_HOST_NAME)) {
		d->known[0] = v4;
		d->known[1] = v6;
		d->nknown = 2;
	} else if (address_from_dest(dest, &d->known[0])) {
		d->nknown = 1;
	} else {
		d->wait = resolve_start(d->proxy->resolve, dest->host, on_resolved, d);
		if (d->wait)
			return;
		d->failed = "limit";
	}
	turn_post(&d->proxy->turn, &d->item);
}

struct dial *dial_start(struct proxy *p, struct flow *f, bool asked, dial_done *done, void *user)
{
	struct dials *ds = p->dials;
	struct dial *d = ds->n < DIAL_MAX ? calloc(1, sizeof(*d)) : NULL;

	if (!d)
		return NULL;
	*d = (struct dial){ .dials = ds, .proxy = p, .flow = f, .asked = asked, .done = done, .user = user, .next = ds->first };
	if (ds->first)
		ds->first->prev = d;
	ds->first = d;
	ds->n++;
	(void)uv_timer_init(p->loop, &d->total);
	(void)uv_timer_init(p->loop, &d->stagger);
	d->total.data = d->stagger.data = d;
	d->handles = 2;
	find_addresses(d);
	return d;
}

void dial_cancel(struct dial *d)
{
	if (d)
		dial_end(d);
}

struct dials *dials_new(void)
{
	return calloc(1, sizeof(struct dials));
}

void dials_free(struct dials *ds)
{
	if (!ds)
		return;
	while (ds->first)
		dial_end(ds->first);
	free(ds);
}
