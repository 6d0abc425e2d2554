/* SPDX-License-Identifier: Apache-2.0
 *
 * intercept: see intercept.h. A connection with TLS goes through: certificate (mint, which may have to ask the keeper), handshake
 * (tlsf), and then the front that ALPN chose.
 */
#include "proxy/intercept.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/str.h"
#include "proxy/creds.h"
#include "proxy/due.h"
#include "proxy/h1f.h"
#include "proxy/h2f.h"
#include "proxy/mint.h"
#include "proxy/pool.h"
#include "proxy/proxy.h"
#include "proxy/tlsb.h"
#include "proxy/tlsf.h"

struct intercept {
	struct proxy *proxy; /* borrowed */
	struct dues dues;
	struct mint *mint;
	struct creds *creds;
	struct tlsf *tlsf;
	struct tlsb *tlsb;
	struct pool *pool;
	struct intercept_conn conns; /* head of a ring */
	struct decide_watch watch;
};

/* A connection whose TLS is not there yet. */
struct starting {
	struct intercept_conn conn;
	struct exchange_env env;
	struct chan *chan; /* owned until the handshake begins */
	struct mint_wait *wait;
	struct tls *tls;
};

struct proxy *intercept_proxy(const struct intercept *i)
{
	return i->proxy;
}

struct dues *intercept_dues(struct intercept *i)
{
	return &i->dues;
}

struct pool *intercept_pool(const struct intercept *i)
{
	return i->pool;
}

struct creds *intercept_creds(const struct intercept *i)
{
	return i->creds;
}

struct tlsb *intercept_tlsb(const struct intercept *i)
{
	return i->tlsb;
}

void intercept_conn_add(struct intercept *i, struct intercept_conn *c, bool refused, void (*cut)(struct intercept_conn *c))
{
	*c = (struct intercept_conn){ .intercept = i, .prev = &i->conns, .next = i->conns.next, .refused = refused, .cut = cut,
					.generation = decide_generation(i->proxy->decide) };
	c->prev->next = c;
	c->next->prev = c;
}

void intercept_conn_remove(struct intercept_conn *c)
{
	if (!c->intercept)
		return;
	c->prev->next = c->next;
	c->next->prev = c->prev;
	c->intercept = NULL;
}

/* --- TLS --- */

static void starting_free(struct starting *s)
{
	intercept_conn_remove(&s->conn);
	mint_cancel(s->wait);
	tls_cancel(s->tls);
	chan_free(s->chan);
	free(s->env.refusal);
	free(s);
}

/* It ends before a request could be read; that is in the log, unless a refusal is already. */
static void give_up(struct starting *s, const char *reason, const char *text)
{
	struct decide *d = s->env.proxy->decide;
	struct decision dn;

	if (!s->env.refusal) {
		decide_refuse(d, reason, text, &dn);
		(void)decide_record(d, &s->env.flow, &dn);
	}
	starting_free(s);
}

static void on_tls(void *user, struct chan *c, const char *why, long verify)
{
	struct starting *s = user;
	struct exchange_env env = s->env;
	struct intercept *i = s->conn.intercept;

	s->tls = NULL;
	if (!c) {
		give_up(s, "client_tls", why);
		return;
	}
	s->env.refusal = NULL;
	starting_free(s);
	(void)(tls_is_h2(c) ? h2f_start(i, c, &env) : h1f_start(i, c, &env));
}

static void handshake(struct starting *s, X509 *leaf)
{
	struct intercept *i = s->conn.intercept;

	s->tls = tlsf_start(i->tlsf, leaf, &s->env.dest, TAKE_PTR(s->chan), on_tls, s);
	if (!s->tls)
		give_up(s, "limit", "out of memory");
}

static void on_leaf(void *user, X509 *leaf, int error)
{
	struct starting *s = user;

	s->wait = NULL;
	if (leaf)
		handshake(s, leaf);
	else
		give_up(s, "keeper", error == -EACCES ? "the keeper makes no certificate for this host" : "the keeper does not answer");
}

/* While the certificate is made nothing is read, but the guest may go. */
static size_t starting_bytes(void *owner, struct chan *c, const uint8_t *bytes, size_t n)
{
	return 0;
}

static void starting_eof(void *owner, struct chan *c)
{
}

static void starting_closed(void *owner, struct chan *c, int error)
{
	give_up(owner, "client_tls", "the client went before the TLS handshake");
}

static const struct chan_ops starting_ops = { .bytes = starting_bytes, .eof = starting_eof, .closed = starting_closed };

static void start_tls(struct intercept *i, struct chan *c, const struct exchange_env *env)
{
	struct starting *s = calloc(1, sizeof(*s));
	X509 *leaf = mint_find(i->mint, &env->dest);

	if (!s) {
		X509_free(leaf);
		chan_free(c);
		free(env->refusal);
		return;
	}
	s->env = *env;
	s->chan = c;
	chan_own(c, &starting_ops, s);
	intercept_conn_add(i, &s->conn, env->refusal != NULL, (void (*)(struct intercept_conn *))starting_free);
	if (leaf) {
		handshake(s, leaf);
		X509_free(leaf);
		return;
	}
	s->wait = mint_get(i->mint, &env->dest, on_leaf, s);
	if (!s->wait)
		give_up(s, "limit", "too many certificates are being made");
}

/* --- what comes in --- */

void intercept_begin(struct proxy *p, struct intercept_start *s)
{
	struct exchange_env env = {
		.proxy = p,
		.dest = s->flow.dest,
		.any_dest = s->kind == INTERCEPT_FORWARD,
		.flow = s->flow,
	};

	(void)str_format(env.asked, sizeof(env.asked), "%s", s->asked ? s->asked : "");
	env.flow.inspect = FLOW_INTERCEPT;
	env.flow.protocol = s->kind == INTERCEPT_TLS ? FLOW_TLS : FLOW_HTTP;
	env.dest.scheme = env.flow.dest.scheme = s->kind == INTERCEPT_TLS ? DEST_HTTPS : DEST_HTTP;
	if (s->refusal) {
		env.refusal = malloc(sizeof(*env.refusal));
		if (!env.refusal) {
			chan_free(s->chan);
			return;
		}
		*env.refusal = *s->refusal;
	}
	if (s->kind == INTERCEPT_TLS)
		start_tls(p->intercept, s->chan, &env);
	else
		(void)h1f_start(p->intercept, s->chan, &env);
}

bool intercept_ready(const struct proxy *p)
{
	return mint_ready(p->intercept->mint);
}

/* --- life --- */

/* A refusal holds for as long as the policy that said it: whoever is refused comes again, and is decided anew. That the keeper says
 * meanwhile which secrets there are changes nothing about it. */
static void on_policy(struct decide_watch *w)
{
	struct intercept *i = container_of(w, struct intercept, watch);
	struct intercept_conn *c, *next;

	for (c = i->conns.next; c != &i->conns; c = next) {
		next = c->next;
		if (c->refused && c->generation != decide_generation(i->proxy->decide))
			c->cut(c);
	}
}

static void on_unasked(void *user, const char *text, size_t n)
{
	struct intercept *i = user;

	creds_refresh(i->creds);
}

static void on_lost(void *user)
{
	struct intercept *i = user;

	proxy_event(i->proxy, json_pack("{s:s}", "event", "keeper_lost"));
}

void intercept_set_trust(struct proxy *p, int fd)
{
	tlsb_trust(p->intercept->tlsb, fd);
}

void intercept_set_keeper(struct proxy *p, int fd)
{
	int r = mint_keeper(p->intercept->mint, fd);

	if (r < 0)
		log_warn("event=keeper error=\"%s\"", uv_strerror(r));
	else
		creds_refresh(p->intercept->creds);
}

void intercept_await_keeper(struct proxy *p)
{
	creds_await(p->intercept->creds);
}

struct intercept *intercept_new(struct proxy *p)
{
	struct intercept *i = calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	i->proxy = p;
	i->conns.prev = i->conns.next = &i->conns;
	if (dues_init(&i->dues, p->loop) < 0) {
		free(i);
		return NULL;
	}
	i->watch.changed = on_policy;
	decide_watch_add(p->decide, &i->watch);
	i->mint = mint_new(p->loop, on_lost, i);
	i->creds = i->mint ? creds_new(i->mint, p->decide) : NULL;
	if (i->mint)
		mint_on_unasked(i->mint, on_unasked);
	i->tlsf = i->mint ? tlsf_new(mint_key(i->mint), &i->dues, true) : NULL;
	i->tlsb = tlsb_new(&i->dues);
	i->pool = pool_new(i);
	if (i->creds && i->tlsf && i->tlsb && i->pool)
		return i;
	intercept_free(i);
	return NULL;
}

static void on_stopped(uv_handle_t *h)
{
	free(container_of((uv_timer_t *)h, struct intercept, dues.timer));
}

void intercept_free(struct intercept *i)
{
	if (!i)
		return;
	decide_watch_remove(&i->watch);
	while (i->conns.next != &i->conns)
		i->conns.next->cut(i->conns.next);
	pool_free(i->pool);
	creds_free(i->creds);
	mint_free(i->mint);
	tlsf_free(i->tlsf);
	tlsb_free(i->tlsb);
	dues_stop(&i->dues, on_stopped);
}
