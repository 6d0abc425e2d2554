/* SPDX-License-Identifier: Apache-2.0
 *
 * resolve: see resolve.h. An entry of the cache is at the same time what a lookup in flight hangs on. c-ares cannot forget a query, so
 * each of an entry's two queries holds it (pending), also past the deadline.
 */
#include "proxy/resolve.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "proxy/turn.h"
#include "wire/dest.h"

#define TTL_MAX_MS 60000
#define FAILURE_MS 5000
#define TRY_MS 1500
#define EDNS_BYTES 1232 /* what passes everywhere in one piece; longer answers come by TCP */
#define OTHER_FAMILY_MS 250 /* with one family's addresses there, how long the other's are waited for */
#define BUCKETS 256
#define SOCKETS 16

struct resolve_wait {
	struct resolve_wait *prev, *next;
	struct entry *entry;
	resolve_done *done;
	void *user;
};

struct entry {
	struct entry *next;           /* in its bucket */
	struct entry *newer, *older;  /* by last use */
	struct resolve *resolve;      /* NULL: the resolver is gone, or the entry was thrown out */
	struct turn_item item;        /* the answer is there: tell the waits */
	uv_timer_t deadline;
	bool timing;                  /* deadline is in use: it closes before the entry goes */
	unsigned int pending;         /* queries of c-ares that know the entry */
	bool answered;
	uint64_t until_ms;            /* with answered */
	uint32_t ttl;                 /* the smallest so far, seconds */
	const char *error;
	struct resolve_wait *waits;   /* owned */
	size_t n4, n6;
	struct address v4[RESOLVE_ADDRESSES], v6[RESOLVE_ADDRESSES];
	char host[DEST_HOST_MAX + 1];
};

/* One of c-ares's sockets. */
struct watched {
	uv_poll_t poll;
	struct resolve *resolve;
	int fd; /* c-ares's */
	struct watched *next;
};

struct resolve {
	uv_loop_t *loop;
	struct turn *turn;
	uv_timer_t timer; /* c-ares's retries */
	ares_channel channel;
	struct watched *watched;
	struct entry *buckets[BUCKETS];
	struct entry *newest, *oldest;
	size_t nentries, nwaits, ninflight;
	uint64_t second;     /* for RESOLVE_RATE */
	unsigned int asked;
	bool have_servers;
};

/* --- c-ares on the loop --- */

static void rearm(struct resolve *r)
{
	struct timeval max = { .tv_sec = 1 }, tv, *next;

	if (r->ninflight == 0) {
		(void)uv_timer_stop(&r->timer);
		return;
	}
	next = ares_timeout(r->channel, &max, &tv);
	(void)uv_timer_start(&r->timer, r->timer.timer_cb, (uint64_t)next->tv_sec * 1000 + (uint64_t)next->tv_usec / 1000 + 1, 0);
}

static void on_timer(uv_timer_t *t)
{
	struct resolve *r = t->data;

	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	rearm(r);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
	struct watched *w = container_of(h, struct watched, poll);
	struct resolve *r = w->resolve;
	int fd = w->fd;

	if (status < 0)
		events = UV_READABLE | UV_WRITABLE;
	ares_process_fd(r->channel, events & UV_READABLE ? fd : ARES_SOCKET_BAD, events & UV_WRITABLE ? fd : ARES_SOCKET_BAD);
	rearm(r);
}

static void watched_freed(uv_handle_t *h)
{
	free(container_of((uv_poll_t *)h, struct watched, poll));
}

static void unwatch(struct watched *w)
{
	struct watched **at = &w->resolve->watched;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	(void)uv_poll_stop(&w->poll);
	uv_close((uv_handle_t *)&w->poll, watched_freed);
}

/* c-ares opened, wants something of, or is about to close a socket. Without memory for it the query runs into its deadline. */
static void on_socket(void *user, ares_socket_t fd, int readable, int writable)
{
	struct resolve *r = user;
	struct watched *w;

	for (w = r->watched; w && w->fd != fd; w = w->next)
		;
	if (!readable && !writable) {
		if (w)
			unwatch(w);
		return;
	}
	if (!w) {
		w = calloc(1, sizeof(*w));
		if (!w || uv_poll_init(r->loop, &w->poll, fd) < 0) {
			free(w);
			return;
		}
		w->resolve = r;
		w->fd = fd;
		w->next = r->watched;
		r->watched = w;
	}
	(void)uv_poll_start(&w->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0), on_poll);
}

/* --- the cache --- */

static size_t bucket_of(const char *host)
{
	uint32_t h = 2166136261U;

	for (; *host; host++)
		h = (h ^ (uint8_t)*host) * 16777619U;
	return h % BUCKETS;
}

static struct entry *find(struct resolve *r, const char *host)
{
	struct entry *e = r->buckets[bucket_of(host)];

	while (e && !str_eq(e->host, host))
		e = e->next;
	return e;
}

static void unlink_use(struct resolve *r, struct entry *e)
{
	*(e->newer ? &e->newer->older : &r->newest) = e->older;
	*(e->older ? &e->older->newer : &r->oldest) = e->newer;
	e->newer = e->older = NULL;
}

static void link_use(struct resolve *r, struct entry *e)
{
	e->older = r->newest;
	if (r->newest)
		r->newest->newer = e;
	r->newest = e;
	if (!r->oldest)
		r->oldest = e;
}

static void entry_unpin(struct entry *e)
{
	if (!e->resolve && e->pending == 0 && !e->timing)
		free(e);
}

static void deadline_closed(uv_handle_t *h)
{
	struct entry *e = container_of((uv_timer_t *)h, struct entry, deadline);

	e->timing = false;
	entry_unpin(e);
}

static void deadline_stop(struct entry *e)
{
	if (e->timing && !uv_is_closing((uv_handle_t *)&e->deadline))
		uv_close((uv_handle_t *)&e->deadline, deadline_closed);
}

/* Takes it out; its waits are dropped. */
static void entry_drop(struct entry *e)
{
	struct resolve *r = e->resolve;
	struct entry **at = &r->buckets[bucket_of(e->host)];

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	unlink_use(r, e);
	r->nentries--;
	turn_drop(&e->item);
	while (e->waits) {
		struct resolve_wait *w = e->waits;

		e->waits = w->next;
		r->nwaits--;
		free(w);
	}
	if (!e->answered)
		r->ninflight--;
	e->resolve = NULL;
	deadline_stop(e);
	entry_unpin(e);
}

/* Room for one more: the entry that was not used for longest, and that nobody waits for, goes. */
static bool make_room(struct resolve *r)
{
	struct entry *e = r->oldest;

	if (r->nentries < RESOLVE_CACHE)
		return true;
	while (e && (e->waits || !e->answered))
		e = e->newer;
	if (!e)
		return false;
	entry_drop(e);
	return true;
}

/* --- answers --- */

static void tell_waits(struct turn_item *i)
{
	struct entry *e = container_of(i, struct entry, item);
	struct address all[2 * RESOLVE_ADDRESSES];
	struct resolve_result res = { .addresses = all, .error = e->error };
	struct resolve_wait *w = e->waits;
	resolve_done *done;
	void *user;

	if (!w)
		return;
	memcpy(all, e->v6, e->n6 * sizeof(all[0]));
	memcpy(all + e->n6, e->v4, e->n4 * sizeof(all[0]));
	res.n = e->n6 + e->n4;
	done = w->done;
	user = w->user;
	e->waits = w->next;
	if (w->next)
		w->next->prev = NULL;
	e->resolve->nwaits--;
	free(w);
	/* One at a time: what done does may end this entry. */
	if (e->waits)
		turn_post(e->resolve->turn, &e->item);
	done(user, &res);
}

static void answer(struct entry *e)
{
	uint64_t ttl_ms = (uint64_t)e->ttl * 1000;

	e->answered = true;
	e->resolve->ninflight--;
	if (e->n4 + e->n6 == 0) {
		e->error = "unresolved";
		ttl_ms = FAILURE_MS;
	}
	e->until_ms = io_now_ms() + (ttl_ms < TTL_MAX_MS ? ttl_ms : TTL_MAX_MS);
	deadline_stop(e);
	turn_post(e->resolve->turn, &e->item);
}

static void on_deadline(uv_timer_t *t)
{
	struct entry *e = container_of(t, struct entry, deadline);

	/* One family's answer is enough. */
	if (e->resolve && !e->answered)
		answer(e);
}

static void add_ttl(struct entry *e, int ttl)
{
	uint32_t seconds = ttl > 0 ? (uint32_t)ttl : 0;

	if (seconds < e->ttl)
		e->ttl = seconds;
}

static void query_over(struct entry *e)
{
	e->pending--;
	if (!e->resolve) {
		entry_unpin(e);
		return;
	}
	if (e->answered)
		return;
	if (e->pending == 0)
		answer(e);
	else if (e->n4 + e->n6 > 0)
		(void)uv_timer_start(&e->deadline, on_deadline, OTHER_FAMILY_MS, 0);
}

static void on_a(void *user, int status, int timeouts, unsigned char *bytes, int n)
{
	struct ares_addrttl found[RESOLVE_ADDRESSES];
	struct entry *e = user;
	int count = RESOLVE_ADDRESSES;

	if (status == ARES_SUCCESS && !e->answered &&
	    ares_parse_a_reply(bytes, n, NULL, found, &count) == ARES_SUCCESS)
		for (int i = 0; i < count && e->n4 < RESOLVE_ADDRESSES; i++) {
			struct address *a = &e->v4[e->n4++];

			*a = (struct address){ .bits = 32 };
			memcpy(a->bytes, &found[i].ipaddr, 4);
			add_ttl(e, found[i].ttl);
		}
	query_over(e);
}

static void on_aaaa(void *user, int status, int timeouts, unsigned char *bytes, int n)
{
	struct ares_addr6ttl found[RESOLVE_ADDRESSES];
	struct entry *e = user;
	int count = RESOLVE_ADDRESSES;

	if (status == ARES_SUCCESS && !e->answered &&
	    ares_parse_aaaa_reply(bytes, n, NULL, found, &count) == ARES_SUCCESS)
		for (int i = 0; i < count && e->n6 < RESOLVE_ADDRESSES; i++) {
			struct address *a = &e->v6[e->n6++];

			*a = (struct address){ .bits = 128 };
			memcpy(a->bytes, &found[i].ip6addr, 16);
			add_ttl(e, found[i].ttl);
		}
	query_over(e);
}

/* --- asking --- */

static bool within_rate(struct resolve *r)
{
	uint64_t second = io_now_ms() / 1000;

	if (r->second != second) {
		r->second = second;
		r->asked = 0;
	}
	return r->asked++ < RESOLVE_RATE;
}

static struct entry *entry_new(struct resolve *r, const char *host)
{
	size_t b = bucket_of(host);
	struct entry *e = make_room(r) ? calloc(1, sizeof(*e)) : NULL;

	if (!e)
		return NULL;
	e->resolve = r;
	e->item.run = tell_waits;
	e->ttl = TTL_MAX_MS / 1000;
	(void)str_format(e->host, sizeof(e->host), "%s", host);
	e->next = r->buckets[b];
	r->buckets[b] = e;
	link_use(r, e);
	r->nentries++;
	r->ninflight++;
	return e;
}

static void ask(struct resolve *r, struct entry *e)
{
	bool dotted = strchr(e->host, '.') != NULL;

	if (!dotted || !r->have_servers || !within_rate(r)) {
		answer(e);
		if (dotted && r->have_servers) {
			e->error = "limit";
			e->until_ms = io_now_ms() + 1000;
		}
		return;
	}
	(void)uv_timer_init(r->loop, &e->deadline);
	e->timing = true;
	(void)uv_timer_start(&e->deadline, on_deadline, RESOLVE_TOTAL_MS, 0);
	/* Both count before the first can be over. */
	e->pending = 2;
	ares_query(r->channel, e->host, ns_c_in, ns_t_aaaa, on_aaaa, e);
	ares_query(r->channel, e->host, ns_c_in, ns_t_a, on_a, e);
	rearm(r);
}

struct resolve_wait *resolve_start(struct resolve *r, const char *host, resolve_done *done, void *user)
{
	struct entry *e = find(r, host);
	struct resolve_wait *w;

	if (e && e->answered && !e->waits && io_now_ms() >= e->until_ms) {
		entry_drop(e);
		e = NULL;
	}
	w = r->nwaits < RESOLVE_WAITS ? calloc(1, sizeof(*w)) : NULL;
	if (!w)
		return NULL;
	if (!e) {
		e = entry_new(r, host);
		if (!e) {
			free(w);
			return NULL;
		}
		ask(r, e);
	}
	unlink_use(r, e);
	link_use(r, e);
	*w = (struct resolve_wait){ .entry = e, .done = done, .user = user, .next = e->waits };
	if (e->waits)
		e->waits->prev = w;
	e->waits = w;
	r->nwaits++;
	if (e->answered)
		turn_post(r->turn, &e->item);
	return w;
}

void resolve_cancel(struct resolve_wait *w)
{
	struct entry *e = w->entry;

	if (w->prev)
		w->prev->next = w->next;
	else
		e->waits = w->next;
	if (w->next)
		w->next->prev = w->prev;
	e->resolve->nwaits--;
	free(w);
}

/* --- life --- */

static void forget_all(struct resolve *r)
{
	for (struct entry *e = r->oldest, *newer; e; e = newer) {
		newer = e->newer;
		if (!e->waits)
			entry_drop(e);
	}
}

/* "1.2.3.4:53" as c-ares has it. */
static int add_server(const char *text, struct ares_addr_port_node *node, struct err *err)
{
	struct dest d;

	if (dest_parse_authority(text, strlen(text), NS_DEFAULTPORT, DEST_TCP, &d) != DEST_OK || d.kind == DEST_NAME)
		return err_set(err, ERR_INVALID, 0, "a name server must be an address");
	*node = (struct ares_addr_port_node){ .family = d.kind == DEST_V4 ? AF_INET : AF_INET6, .udp_port = d.port,
					      .tcp_port = d.port };
	memcpy(&node->addr, d.addr, d.kind == DEST_V4 ? 4 : 16);
	return 0;
}

int resolve_set_servers(struct resolve *r, const char *const *servers, size_t n, struct err *err)
{
	struct ares_addr_port_node nodes[RESOLVE_SERVERS];
	size_t used = n < RESOLVE_SERVERS ? n : RESOLVE_SERVERS;

	for (size_t i = 0; i < used; i++) {
		if (add_server(servers[i], &nodes[i], err) < 0)
			return err_code(err);
		if (i > 0)
			nodes[i - 1].next = &nodes[i];
	}
	if (used > 0 && ares_set_servers_ports(r->channel, nodes) != ARES_SUCCESS)
		return err_set(err, ERR_INTERNAL, ENOMEM, "the name servers cannot be used");
	r->have_servers = used > 0;
	forget_all(r);
	return 0;
}

struct resolve *resolve_new(uv_loop_t *loop, struct turn *turn)
{
	static char lookups[] = "b", none[] = "/dev/null";
	struct resolve *r = calloc(1, sizeof(*r));
	struct ares_options o = {
		.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS,
		.ednspsz = EDNS_BYTES,
		.timeout = TRY_MS,
		.tries = 2,
		.ndomains = 0,
		.lookups = lookups,
		.resolvconf_path = none,
		.sock_state_cb = on_socket,
		.sock_state_cb_data = r,
	};

	if (!r)
		return NULL;
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS ||
	    ares_init_options(&r->channel, &o,
			      ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_DOMAINS | ARES_OPT_LOOKUPS |
				      ARES_OPT_RESOLVCONF | ARES_OPT_SOCK_STATE_CB) != ARES_SUCCESS) {
		free(r);
		return NULL;
	}
	r->loop = loop;
	r->turn = turn;
	(void)uv_timer_init(loop, &r->timer);
	r->timer.timer_cb = on_timer;
	r->timer.data = r;
	return r;
}

static void on_freed(uv_handle_t *h)
{
	free(h->data);
}

void resolve_free(struct resolve *r)
{
	if (!r)
		return;
	while (r->oldest)
		entry_drop(r->oldest);
	/* Its queries are over now, each with a callback, and its sockets closed. */
	ares_destroy(r->channel);
	while (r->watched)
		unwatch(r->watched);
	uv_close((uv_handle_t *)&r->timer, on_freed);
}
