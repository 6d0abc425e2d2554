/* SPDX-License-Identifier: Apache-2.0
 *
 * pool: see pool.h. All origins stand in one list, idle ones that were used last in front; there are at most POOL_MAX.
 */
#include "proxy/pool.h"

#include <errno.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "base/str.h"
#include "proxy/h1b.h"
#include "proxy/intercept.h"
#include "proxy/proxy.h"
#include "proxy/tlsb.h"
#include "proxy/tlsf.h"

struct pool {
	struct intercept *intercept; /* borrowed */
	struct decide *decide;       /* borrowed */
	TAILQ_HEAD(origins, origin) all;
	TAILQ_HEAD(, pool_wait) waits;
	size_t n; /* of all and of those that are being made */
	struct decide_watch watch;
};

struct pool_wait {
	TAILQ_ENTRY(pool_wait) link;
	struct pool *pool;
	struct flow *flow; /* borrowed */
	struct dest dest;
	bool tls;
	pool_done *done;
	void *user;
	struct dial *dial;    /* resolving and connecting */
	struct tls *handshake;
	struct policy_address at;
};

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
	due_drop(&o->due);
	if (!o->pool)
		return;
	TAILQ_REMOVE(&o->pool->all, o, link);
	o->pool->n--;
	o->pool = NULL;
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

struct origin *pool_take(struct pool *p, struct flow *f, bool tls, bool asked, struct decision *ret)
{
	struct origin *o;

	TAILQ_FOREACH(o, &p->all, link) {
		if (!o->idle || o->tls != tls || o->generation != decide_generation(p->decide) || !dest_equal(&o->dest, &f->dest))
			continue;
		decide_now(p->decide, f, &o->at, asked, ret);
		if (!ret->allow) {
			/* The dialler looks for an address that may be had, and records what comes of it. */
			ret->allow = true;
			return NULL;
		}
		if (decide_record(p->decide, f, ret) < 0)
			return NULL;
		f->address = o->at.address;
		o->reused = true;
		origin_busy(o);
		return o;
	}
	return NULL;
}

/* --- making one --- */

static void wait_free(struct pool_wait *w)
{
	TAILQ_REMOVE(&w->pool->waits, w, link);
	w->pool->n--;
	dial_cancel(w->dial);
	tls_cancel(w->handshake);
	free(w);
}

void pool_cancel(struct pool_wait *w)
{
	if (w)
		wait_free(w);
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

static void ready(struct pool_wait *w, struct chan *c)
{
	struct pool *p = w->pool;
	struct origin *o = h1b_new(p, c);
	struct pool_result r = { .origin = o, .recorded = true };
	pool_done *done = w->done;
	void *user = w->user;

	if (!o) {
		fail(w, "limit", "out of memory");
		return;
	}
	o->dest = w->dest;
	o->tls = w->tls;
	o->at = w->at;
	o->generation = decide_generation(p->decide);
	wait_free(w);
	done(user, &r);
}

static void on_tls(void *user, struct chan *c, const char *why, long verify)
{
	struct pool_wait *w = user;
	char text[EXPLAIN_MAX], host[DEST_PRINT_MAX];

	w->handshake = NULL;
	if (c) {
		ready(w, c);
		return;
	}
	dest_print(&w->dest, host);
	if (verify != X509_V_OK) {
		(void)str_format(text, sizeof(text), "the certificate of %s is not good: %s", host, why);
		fail(w, "upstream_cert", text);
		return;
	}
	(void)str_format(text, sizeof(text), "no TLS with %s: %s", host, why);
	fail(w, "unreachable", text);
}

static void on_dial(void *user, struct dial_result *d)
{
	struct pool_wait *w = user;
	struct pool_result r = { 0 };
	pool_done *done = w->done;
	void *who = w->user;

	w->dial = NULL;
	if (!d->chan) {
		r.decision = d->decision;
		r.recorded = d->recorded_allow;
		wait_free(w);
		done(who, &r);
		return;
	}
	w->at = d->at;
	if (!w->tls) {
		ready(w, d->chan);
		return;
	}
	w->handshake = tlsb_start(intercept_tlsb(w->pool->intercept), &w->dest, d->chan, on_tls, w);
	if (!w->handshake)
		fail(w, "limit", "out of memory");
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
		same += dest_equal(&w->dest, d);
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

struct pool_wait *pool_dial(struct pool *p, struct flow *f, bool tls, bool asked, pool_done *done, void *user)
{
	struct pool_wait *w;

	if (!room_for(p, &f->dest) || !(w = calloc(1, sizeof(*w))))
		return NULL;
	*w = (struct pool_wait){ .pool = p, .flow = f, .dest = f->dest, .tls = tls, .done = done, .user = user };
	TAILQ_INSERT_TAIL(&p->waits, w, link);
	p->n++;
	w->dial = dial_start(intercept_proxy(p->intercept), f, asked, on_dial, w);
	if (!w->dial) {
		wait_free(w);
		return NULL;
	}
	return w;
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
	free(p);
}
