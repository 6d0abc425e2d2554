/* SPDX-License-Identifier: Apache-2.0
 *
 * pool: see pool.h. All origins stand in one list, idle ones that were used last in front; there are at most POOL_MAX.
 *
 * A wait either makes a connection itself (dial, then handshake) or follows another that does: it has a leader. When the leader's turns
 * out to be HTTP/2, its followers share it as far as it has room, once its settings say how much that is; else, or when the leader fails or goes, they make their own, the
 * next one leading again where the protocol is still unknown. Destinations that chose HTTP/1.1 are remembered, and not waited for.
 *
 * Where the bounds leave no room for one more connection the wait stands in `queue`, first come first served, at most POOL_QUEUE_MAX of
 * them and for POOL_QUEUE_MS. `serve` looks at them in the turn after a connection became idle or ended. Whoever comes later for the same
 * host stands behind them.
 */
#include "proxy/pool.h"

#include <errno.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "base/str.h"
#include "proxy/h1b.h"
#include "proxy/h2b.h"
#include "proxy/intercept.h"
#include "proxy/proxy.h"
#include "proxy/tls.h"
#include "proxy/tlsb.h"
#include "proxy/tlsf.h"

#define H1_KNOWN 64

struct pool {
	struct intercept *intercept; /* borrowed */
	struct decide *decide;       /* borrowed */
	TAILQ_HEAD(origins, origin) all;
	TAILQ_HEAD(pool_waits, pool_wait) waits, queue;
	size_t n; /* of all and of those that are being made */
	size_t nqueue;
	struct turn_item serve;
	struct decide_watch watch;
	struct dest h1_known[H1_KNOWN]; /* a ring; host "": none */
	unsigned int h1_next;
};

struct pool_wait {
	TAILQ_ENTRY(pool_wait) link;
	struct pool *pool;
	struct flow *flow; /* borrowed */
	struct dest dest;
	unsigned int flags;
	/* One of these, or none where it is about to be placed: */
	struct pool_wait *leader; /* it follows this one */
	struct origin *expects;   /* it waits for this one's settings */
	bool orphan;              /* its leader is done with, and it is about to be released */
	bool makes;               /* it makes its own */
	bool queued;              /* it stands in the queue */
	struct due due;           /* while queued */
	pool_done *done;
	void *user;
	struct dial *dial;    /* resolving and connecting */
	struct tls *handshake;
	struct policy_address at;
};

/* There may be room for one that waits. */
static void post_serve(struct pool *p)
{
	if (p->nqueue > 0)
		turn_post(&intercept_proxy(p->intercept)->turn, &p->serve);
}

/* --- origins --- */

void origin_init(struct origin *o, const struct origin_class *class, struct pool *p)
{
	o->class = class;
	o->pool = p;
	o->idle = false;
	TAILQ_INSERT_TAIL(&p->all, o, link);
	p->n++;
}

void origin_done(struct origin *o)
{
	struct pool *p = o->pool;

	due_drop(&o->due);
	if (!p)
		return;
	TAILQ_REMOVE(&p->all, o, link);
	p->n--;
	if (o->coming)
		origin_settled(o);
	o->pool = NULL;
	post_serve(p);
}

static void on_due(struct due *d)
{
	struct origin *o = container_of(d, struct origin, due);

	o->class->close(o);
}

bool origin_idle(struct origin *o)
{
	struct pool *p = o->pool;

	if (!p || o->generation != decide_generation(p->decide))
		return false;
	o->idle = true;
	o->due.over = on_due;
	if (o->active == 0)
		due_set(intercept_dues(p->intercept), &o->due, POOL_IDLE_MS);
	TAILQ_REMOVE(&p->all, o, link);
	TAILQ_INSERT_HEAD(&p->all, o, link);
	post_serve(p);
	return true;
}

void origin_busy(struct origin *o)
{
	o->idle = false;
	due_drop(&o->due);
}

static void drop_idle(struct pool *p)
{
	struct origin *o, *next;

	for (o = TAILQ_FIRST(&p->all); o; o = next) {
		next = TAILQ_NEXT(o, link);
		if (o->idle && o->active == 0)
			o->class->close(o);
		else
			o->idle = false;
	}
}

static void on_policy(struct decide_watch *w)
{
	drop_idle(container_of(w, struct pool, watch));
}

/* --- taking one --- */

static bool fits(const struct pool *p, const struct origin *o, const struct dest *d, unsigned int flags)
{
	return o->idle && o->tls == ((flags & POOL_TLS) != 0) && !(o->h2 && (flags & POOL_H1)) &&
	       o->generation == decide_generation(p->decide) && dest_equal(&o->dest, d);
}

/* The flow is to go by o, if the policy says so of its address. false: not, and *ret says whether another may be looked for. */
static bool share(struct pool *p, struct origin *o, struct flow *f, unsigned int flags, struct decision *ret)
{
	decide_now(p->decide, f, &o->at, (flags & POOL_ASKED) != 0, ret);
	if (!ret->allow) {
		/* The dialler looks for an address that may be had, and records what comes of it. */
		ret->allow = true;
		return false;
	}
	if (!f->recorded && decide_record(p->decide, f, ret) < 0)
		return false;
	f->address = o->at.address;
	o->reused = true;
	origin_busy(o);
	return true;
}

static struct origin *find_idle(struct pool *p, const struct dest *d, unsigned int flags)
{
	struct origin *o;

	TAILQ_FOREACH(o, &p->all, link)
		if (fits(p, o, d, flags))
			return o;
	return NULL;
}

/* Whether somebody came earlier for the same. */
static bool is_waited_for(const struct pool *p, const struct dest *d, unsigned int flags)
{
	const unsigned int kind = POOL_TLS | POOL_H1;
	const struct pool_wait *w;

	TAILQ_FOREACH(w, &p->queue, link)
		if ((w->flags & kind) == (flags & kind) && dest_equal(&w->dest, d))
			return true;
	return false;
}

struct origin *pool_take(struct pool *p, struct flow *f, unsigned int flags, struct decision *ret)
{
	struct origin *o = is_waited_for(p, &f->dest, flags) ? NULL : find_idle(p, &f->dest, flags);

	return o && share(p, o, f, flags, ret) ? o : NULL;
}

/* --- which protocol --- */

static bool is_h1(const struct pool *p, const struct dest *d)
{
	for (size_t i = 0; i < H1_KNOWN; i++)
		if (p->h1_known[i].port && dest_equal(&p->h1_known[i], d))
			return true;
	return false;
}

static void learn_h1(struct pool *p, const struct dest *d)
{
	if (!is_h1(p, d))
		p->h1_known[p->h1_next++ % H1_KNOWN] = *d;
}

static void learn_h2(struct pool *p, const struct dest *d)
{
	for (size_t i = 0; i < H1_KNOWN; i++)
		if (dest_equal(&p->h1_known[i], d))
			p->h1_known[i].port = 0;
}

static bool may_be_h2(const struct pool *p, const struct dest *d, unsigned int flags)
{
	return (flags & POOL_TLS) && !(flags & POOL_H1) && !is_h1(p, d);
}

/* Whom to wait for. */
static struct pool_wait *find_leader(struct pool *p, const struct dest *d, unsigned int flags)
{
	struct pool_wait *w;

	if (!may_be_h2(p, d, flags))
		return NULL;
	TAILQ_FOREACH(w, &p->waits, link)
		if (w->makes && may_be_h2(p, d, w->flags) && dest_equal(&w->dest, d))
			return w;
	return NULL;
}

/* One that is there already, but has not said yet how many streams it takes. */
static struct origin *find_coming(struct pool *p, const struct dest *d, unsigned int flags)
{
	struct origin *o;

	TAILQ_FOREACH(o, &p->all, link)
		if (o->coming && may_be_h2(p, d, flags) && o->generation == decide_generation(p->decide) && dest_equal(&o->dest, d))
			return o;
	return NULL;
}

/* --- making one --- */

static void on_dial(void *user, struct dial_result *d);

static void leave_queue(struct pool_wait *w)
{
	due_drop(&w->due);
	w->queued = false;
	w->pool->nqueue--;
	TAILQ_REMOVE(&w->pool->queue, w, link);
	TAILQ_INSERT_TAIL(&w->pool->waits, w, link);
}

static void wait_free(struct pool_wait *w)
{
	struct pool_wait *f;

	TAILQ_FOREACH(f, &w->pool->waits, link)
		if (f->leader == w) {
			f->leader = NULL;
			f->orphan = true;
		}
	if (w->queued)
		leave_queue(w);
	TAILQ_REMOVE(&w->pool->waits, w, link);
	if (w->makes) {
		w->pool->n--;
		post_serve(w->pool);
	}
	dial_cancel(w->dial);
	tls_cancel(w->handshake);
	free(w);
}

static void fail(struct pool_wait *w, const char *reason, const char *text)
{
	struct pool_result r = { .recorded = true };
	pool_done *done = w->done;
	void *user = w->user;

	decide_refuse(w->pool->decide, reason, text, &r.decision);
	wait_free(w);
	done(user, &r);
}

/* It had no connection yet, nor has it a record. */
static void fail_unrecorded(struct pool_wait *w, const char *reason, const char *text)
{
	struct pool_result r = { 0 };
	pool_done *done = w->done;
	void *user = w->user;

	decide_refuse(w->pool->decide, reason, text, &r.decision);
	if (!w->flow->recorded)
		(void)decide_record(w->pool->decide, w->flow, &r.decision);
	wait_free(w);
	done(user, &r);
}

static bool start(struct pool_wait *w)
{
	w->dial = dial_start(intercept_proxy(w->pool->intercept), w->flow, (w->flags & POOL_ASKED) != 0, on_dial, w);
	if (!w->dial)
		return false;
	w->makes = true;
	w->pool->n++;
	return true;
}

static void on_queue_due(struct due *d)
{
	fail_unrecorded(container_of(d, struct pool_wait, due), "timeout", "no connection to this host came free in time");
}

static bool enqueue(struct pool_wait *w)
{
	struct pool *p = w->pool;

	if (p->nqueue >= POOL_QUEUE_MAX)
		return false;
	TAILQ_REMOVE(&p->waits, w, link);
	TAILQ_INSERT_TAIL(&p->queue, w, link);
	p->nqueue++;
	w->queued = true;
	w->due.over = on_queue_due;
	due_set(intercept_dues(p->intercept), &w->due, POOL_QUEUE_MS);
	return true;
}

static bool room_for(struct pool *p, const struct dest *d);

/* One that followed goes on by itself; others may follow it. */
static void go_alone(struct pool_wait *w)
{
	struct pool *p = w->pool;
	bool room = !is_waited_for(p, &w->dest, w->flags) && room_for(p, &w->dest);

	if (!(room ? start(w) : enqueue(w)))
		fail_unrecorded(w, "limit", "too many connections to this host, or in all");
}

static struct pool_wait *find_orphan(struct pool *p)
{
	struct pool_wait *w;

	TAILQ_FOREACH(w, &p->waits, link)
		if (w->orphan)
			return w;
	return NULL;
}

/* Its leader's connection, if it can carry one more. */
static bool join(struct pool_wait *w, struct origin *o)
{
	struct pool_result r = { .origin = o, .recorded = true };
	pool_done *done = w->done;
	void *user = w->user;

	if (!fits(w->pool, o, &w->dest, w->flags) || !share(w->pool, o, w->flow, w->flags, &r.decision))
		return false;
	wait_free(w);
	done(user, &r);
	return true;
}

static bool is_there(const struct pool *p, const struct origin *o)
{
	const struct origin *i;

	TAILQ_FOREACH(i, &p->all, link)
		if (i == o)
			return true;
	return false;
}

/* A leader is done with: o is what it got, NULL where nothing that can be shared. Each call of a wait's `done` may change everything,
 * so the search begins anew. */
static void release(struct pool *p, struct origin *o)
{
	struct pool_wait *w;

	while ((w = find_orphan(p))) {
		w->orphan = false;
		if (o && is_there(p, o) && join(w, o))
			continue;
		w->leader = find_leader(p, &w->dest, w->flags);
		if (!w->leader)
			go_alone(w);
	}
}

/* --- the queue --- */

/* false: it goes on waiting. */
static bool serve_one(struct pool_wait *w)
{
	struct pool *p = w->pool;
	struct origin *o = find_idle(p, &w->dest, w->flags);
	struct pool_wait *leader;

	if (o && join(w, o))
		return true;
	leader = find_leader(p, &w->dest, w->flags);
	o = leader ? NULL : find_coming(p, &w->dest, w->flags);
	if (!leader && !o && !room_for(p, &w->dest))
		return false;
	leave_queue(w);
	w->leader = leader;
	w->expects = o;
	if (!leader && !o && !start(w))
		fail_unrecorded(w, "limit", "too many connections at a time");
	return true;
}

static bool serve_first(struct pool *p)
{
	struct pool_wait *w, *full = NULL;

	TAILQ_FOREACH(w, &p->queue, link) {
		if (full && full->flags == w->flags && dest_equal(&full->dest, &w->dest))
			continue;
		if (serve_one(w))
			return true;
		full = w;
	}
	return false;
}

static void on_serve(struct turn_item *i)
{
	struct pool *p = container_of(i, struct pool, serve);

	/* From the front again: a wait's `done` may change everything. */
	while (serve_first(p))
		;
}

void pool_cancel(struct pool_wait *w)
{
	struct pool *p = w ? w->pool : NULL;

	if (!w)
		return;
	wait_free(w);
	release(p, NULL);
}

/* Whether the policy as it is now allows the address: it may have changed while the connection was made. false: w is over. */
static bool is_still_allowed(struct pool_wait *w, struct chan *c)
{
	struct pool *p = w->pool;
	struct pool_result r = { .recorded = true };
	pool_done *done = w->done;
	void *user = w->user;

	decide_now(p->decide, w->flow, w->at.address.bits ? &w->at : NULL, (w->flags & POOL_ASKED) != 0, &r.decision);
	if (r.decision.allow)
		return true;
	r.decision.reason = "policy_changed";
	chan_free(c);
	wait_free(w);
	done(user, &r);
	release(p, NULL);
	return false;
}

/* Whoever followed w waits until it is known how many streams o takes. */
static void expect(struct pool_wait *w, struct origin *o)
{
	struct pool_wait *f;

	TAILQ_FOREACH(f, &w->pool->waits, link)
		if (f->leader == w) {
			f->leader = NULL;
			f->expects = o;
		}
}

void origin_settled(struct origin *o)
{
	struct pool *p = o->pool;
	struct pool_wait *f;

	o->coming = false;
	TAILQ_FOREACH(f, &p->waits, link)
		if (f->expects == o) {
			f->expects = NULL;
			f->orphan = true;
		}
	release(p, o);
}

static void ready(struct pool_wait *w, struct chan *c, bool h2)
{
	struct pool *p = w->pool;
	struct pool_result r = { .recorded = true };
	pool_done *done = w->done;
	void *user = w->user;
	struct origin *o;

	if (!is_still_allowed(w, c))
		return;
	r.origin = o = h2 ? h2b_new(p, c, intercept_dues(p->intercept)) : h1b_new(p, c);
	if (!o) {
		fail(w, "limit", "out of memory");
		release(p, NULL);
		return;
	}
	o->dest = w->dest;
	o->tls = (w->flags & POOL_TLS) != 0;
	o->h2 = h2;
	o->at = w->at;
	o->generation = decide_generation(p->decide);
	if (o->coming)
		expect(w, o);
	if (h2)
		learn_h2(p, &o->dest);
	else if (o->tls && !(w->flags & POOL_H1))
		learn_h1(p, &o->dest);
	wait_free(w);
	done(user, &r);
	release(p, NULL);
}

static void on_tls(void *user, struct chan *c, const char *why, long verify)
{
	struct pool_wait *w = user;
	struct pool *p = w->pool;
	char text[EXPLAIN_MAX], host[DEST_PRINT_MAX];

	w->handshake = NULL;
	if (c) {
		ready(w, c, tls_is_h2(c));
		return;
	}
	dest_print(&w->dest, host);
	if (verify != X509_V_OK) {
		(void)str_format(text, sizeof(text), "the certificate of %s is not good: %s", host, why);
		fail(w, "upstream_cert", text);
	} else {
		(void)str_format(text, sizeof(text), "no TLS with %s: %s", host, why);
		fail(w, str_eq(why, TLS_TOO_LONG) ? "timeout" : "unreachable", text);
	}
	release(p, NULL);
}

static void on_dial(void *user, struct dial_result *d)
{
	struct pool_wait *w = user;
	struct pool *p = w->pool;
	struct pool_result r = { 0 };
	pool_done *done = w->done;
	void *who = w->user;

	w->dial = NULL;
	if (!d->chan) {
		r.decision = d->decision;
		r.recorded = d->recorded_allow;
		wait_free(w);
		done(who, &r);
		release(p, NULL);
		return;
	}
	w->at = d->at;
	if (!(w->flags & POOL_TLS)) {
		ready(w, d->chan, false);
		return;
	}
	w->handshake = tlsb_start(intercept_tlsb(p->intercept), &w->dest, d->chan, !(w->flags & POOL_H1), on_tls, w);
	if (!w->handshake) {
		fail(w, "limit", "out of memory");
		release(p, NULL);
	}
}

/* One more connection to d: makes room where only idle ones are in the way. */
static bool room_for(struct pool *p, const struct dest *d)
{
	size_t same = 0;
	struct origin *o, *spare = NULL, *spare_same = NULL;
	struct pool_wait *w;

	TAILQ_FOREACH(o, &p->all, link) {
		bool to_d = dest_equal(&o->dest, d);

		same += to_d;
		if (o->idle && o->active == 0) {
			spare = o;
			spare_same = to_d ? o : spare_same;
		}
	}
	TAILQ_FOREACH(w, &p->waits, link)
		same += w->makes && dest_equal(&w->dest, d);
	if (same >= POOL_PER_HOST) {
		if (spare_same)
			spare_same->class->close(spare_same);
		return spare_same != NULL;
	}
	if (p->n >= POOL_MAX) {
		if (spare)
			spare->class->close(spare);
		return spare != NULL;
	}
	return true;
}

struct pool_wait *pool_dial(struct pool *p, struct flow *f, unsigned int flags, pool_done *done, void *user)
{
	struct pool_wait *w = calloc(1, sizeof(*w));
	bool room;

	if (!w)
		return NULL;
	*w = (struct pool_wait){ .pool = p, .flow = f, .dest = f->dest, .flags = flags, .done = done, .user = user };
	w->leader = find_leader(p, &f->dest, flags);
	w->expects = w->leader ? NULL : find_coming(p, &f->dest, flags);
	TAILQ_INSERT_TAIL(&p->waits, w, link);
	if (w->leader || w->expects)
		return w;
	room = !is_waited_for(p, &f->dest, flags) && room_for(p, &f->dest);
	if (room ? start(w) : enqueue(w)) {
		/* Something may be idle already that those in the queue can have. */
		post_serve(p);
		return w;
	}
	wait_free(w);
	return NULL;
}

/* --- life --- */

struct pool *pool_new(struct intercept *i)
{
	struct pool *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->intercept = i;
	p->decide = intercept_proxy(i)->decide;
	TAILQ_INIT(&p->all);
	TAILQ_INIT(&p->waits);
	TAILQ_INIT(&p->queue);
	p->serve.run = on_serve;
	p->watch.changed = on_policy;
	decide_watch_add(p->decide, &p->watch);
	return p;
}

void pool_free(struct pool *p)
{
	struct origin *o;

	if (!p)
		return;
	decide_watch_remove(&p->watch);
	while ((o = TAILQ_FIRST(&p->all)))
		o->class->close(o);
	turn_drop(&p->serve);
	free(p);
}
