/* SPDX-License-Identifier: Apache-2.0
 *
 * exchange: see exchange.h. `s` has what is known of each side: whether it is still there, whether what it gives is complete, and
 * whether it waits for `resume` because the other side took less than it offered.
 */
#include "proxy/exchange.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "proxy/exchange_in.h"
#include "proxy/page.h"
#include "proxy/request.h"

#define RATE_BYTES 6000      /* the least that comes meanwhile: 100 B/s */
#define REFUSED_TRIES 4      /* of a request without a body that an origin says it has not begun */
#define INTERIM_MAX 16       /* 1xx heads, which nothing else holds up: a front may have to keep them */
#define STUCK_TICKS 5        /* looks without a byte taken by the one who is to take them */

static enum exchange_side other(enum exchange_side s)
{
	return s == EXCHANGE_FRONT ? EXCHANGE_BACK : EXCHANGE_FRONT;
}

void exchange_set_due(struct exchange *x, uint64_t ms)
{
	due_set(intercept_dues(x->env->proxy->intercept), &x->due, ms);
}

/* --- the end --- */

/* Nothing is asked for any more. */
static void stop_asking(struct exchange *x)
{
	if (x->wait)
		decide_cancel(TAKE_PTR(x->wait));
	if (x->dial)
		pool_cancel(TAKE_PTR(x->dial));
	mint_cancel(TAKE_PTR(x->cred));
	if (x->token)
		exchange_token_stop(x);
	decide_watch_remove(&x->watch);
	due_drop(&x->due);
}

static void close_side(struct exchange *x, enum exchange_side which)
{
	struct exchange_end_of *s = &x->s[which];
	void *side = TAKE_PTR(s->side);

	if (side)
		s->ops->closed(side, s->how);
}

static void destroy(struct exchange *x)
{
	turn_drop(&x->reap);
	if (x->scrub && x->req.arena)
		explicit_bzero(x->req.arena, x->req.arena_cap);
	scrub_free(x->scrub);
	exchange_body_free(x);
	exchange_token_free(x);
	httpmsg_done(&x->trailers);
	httpmsg_done(&x->req);
	target_done(&x->target);
	buf_done(&x->page);
	free(x);
}

static void on_reap(struct turn_item *i)
{
	struct exchange *x = container_of(i, struct exchange, reap);

	close_side(x, EXCHANGE_BACK);
	if (x->state != OVER)
		return;
	close_side(x, EXCHANGE_FRONT);
	destroy(x);
}

/* The back alone goes; the front gets its answer from here. */
static void drop_back(struct exchange *x)
{
	x->s[EXCHANGE_BACK].how = EXCHANGE_CUT;
	turn_post(&x->env->proxy->turn, &x->reap);
}

static void over(struct exchange *x, enum exchange_how front, enum exchange_how back)
{
	if (x->state == OVER)
		return;
	x->state = OVER;
	stop_asking(x);
	x->s[EXCHANGE_FRONT].how = front;
	if (x->s[EXCHANGE_BACK].how == EXCHANGE_DONE)
		x->s[EXCHANGE_BACK].how = back;
	decide_end(exchange_decide(x), &x->flow);
	turn_post(&x->env->proxy->turn, &x->reap);
}

/* Both ways broken off; the log says why. */
static void cut(struct exchange *x, const char *why)
{
	if (!x->flow.error)
		x->flow.error = why;
	over(x, EXCHANGE_CUT, EXCHANGE_CUT);
}

/* The answer was given to its end. */
static void answered(struct exchange *x)
{
	bool all = x->s[EXCHANGE_FRONT].complete && !exchange_body_is_left(x);

	over(x, all ? EXCHANGE_DONE : EXCHANGE_UNREAD, all ? EXCHANGE_DONE : EXCHANGE_UNREAD);
}

/* --- an answer of our own --- */

static void give_page(struct exchange *x)
{
	struct exchange_end_of *f = &x->s[EXCHANGE_FRONT];

	if (buf_len(&x->page) > 0)
		buf_consume(&x->page, f->ops->data(f->side, buf_bytes(&x->page), buf_len(&x->page)));
	if (buf_len(&x->page) > 0)
		return;
	f->ops->end(f->side, NULL);
	answered(x);
}

/* By x->decision, which is recorded or is not to be. */
static void answer(struct exchange *x, int status)
{
	struct exchange_end_of *f = &x->s[EXCHANGE_FRONT];
	bool to_head = x->req.method_id == HTTPMSG_HEAD;
	struct httpmsg m;

	if (x->s[EXCHANGE_BACK].side)
		drop_back(x);
	if (x->final || !f->side || page_text(&x->page, status, x->flow.dest.port ? &x->flow.dest : NULL, &x->decision) < 0 ||
	    page_head(&m, status, &x->decision, buf_len(&x->page), to_head) < 0) {
		cut(x, x->decision.reason);
		return;
	}
	stop_asking(x);
	x->state = REFUSED;
	x->final = true;
	x->flow.status = status;
	/* What makes no sense is not followed by anything. */
	m.close = !f->complete || status == 400 || status == 405;
	/* A guest that does not take its answer. */
	exchange_set_due(x, EXCHANGE_RATE_MS);
	f->ops->head(f->side, &m, to_head);
	httpmsg_done(&m);
	if (to_head)
		answered(x);
	else
		give_page(x);
}

/* A refusal of x->decision, that is not in the log yet; or it is the end of what was allowed. */
static void record_and_answer(struct exchange *x, int status)
{
	if (!x->flow.recorded)
		(void)decide_record(exchange_decide(x), &x->flow, &x->decision);
	else if (!x->flow.error)
		x->flow.error = x->decision.reason;
	answer(x, status);
}

void exchange_refuse(struct exchange *x, int status, const char *reason, const char *text)
{
	decide_refuse(exchange_decide(x), reason, text, &x->decision);
	record_and_answer(x, status);
}

/* The back cannot go on. */
static void back_failed(struct exchange *x, int status, const char *reason, const char *text)
{
	if (x->final)
		cut(x, reason);
	else
		exchange_refuse(x, status, reason, text);
}

void exchange_give(struct exchange *x, struct httpmsg *head, struct buf *body)
{
	struct exchange_end_of *f = &x->s[EXCHANGE_FRONT];
	struct httpmsg m = *head;

	httpmsg_init(head, HTTPMSG_RESPONSE);
	buf_done(&x->page);
	x->page = *body;
	buf_init(body, body->max);
	if (!f->side) {
		httpmsg_done(&m);
		over(x, EXCHANGE_DONE, EXCHANGE_DONE);
		return;
	}
	stop_asking(x);
	turn_post(&x->env->proxy->turn, &x->reap);
	x->state = REFUSED;
	x->final = true;
	x->flow.status = m.status;
	httpmsg_strip(&m);
	m.has_length = true;
	m.length = buf_len(&x->page);
	m.body = m.length > 0 ? HTTPMSG_BODY_LENGTH : HTTPMSG_BODY_NONE;
	exchange_set_due(x, EXCHANGE_RATE_MS);
	f->ops->head(f->side, &m, m.length == 0);
	httpmsg_done(&m);
	if (buf_len(&x->page) == 0)
		answered(x);
	else
		give_page(x);
}

/* --- watching over it --- */

static void on_policy(struct decide_watch *w)
{
	struct exchange *x = container_of(w, struct exchange, watch);
	struct decision now;

	decide_now(exchange_decide(x), &x->flow, x->at.address.bits ? &x->at : NULL, x->asked, &now);
	if (now.allow)
		return;
	log_debug("event=policy_changed conn=%llu req=%llu", (unsigned long long)x->flow.conn, (unsigned long long)x->flow.req);
	if (x->final) {
		cut(x, "policy_changed");
		return;
	}
	x->decision = now;
	if (x->flow.recorded)
		x->flow.error = "policy_changed";
	record_and_answer(x, 403);
}

/* Whether a body came too slowly, and whether it is the taker's fault. */
static bool too_slow(struct exchange *x, struct exchange_end_of *from, bool exempt)
{
	uint64_t moved = from->moved;

	from->moved = 0;
	if (from->waits)
		return moved == 0 && ++x->stuck >= STUCK_TICKS;
	x->stuck = 0;
	return !exempt && moved < RATE_BYTES;
}

static void on_due(struct due *d)
{
	struct exchange *x = container_of(d, struct exchange, due);
	struct exchange_end_of *f = &x->s[EXCHANGE_FRONT], *b = &x->s[EXCHANGE_BACK];

	if (x->token && exchange_token_due(x))
		return;
	if (x->state == TUNNEL || x->state == REFUSED) {
		cut(x, "timeout");
	} else if (!f->complete && too_slow(x, f, request_is_slow(&x->req))) {
		back_failed(x, 408, "timeout", "the request's body came too slowly");
	} else if (f->complete && !x->final) {
		exchange_refuse(x, 504, "timeout", "the server did not answer in time");
	} else if (x->final && too_slow(x, b, x->slow)) {
		cut(x, "timeout");
	} else {
		exchange_set_due(x, EXCHANGE_RATE_MS);
	}
}

/* --- towards the origin --- */

static void resume(struct exchange *x, enum exchange_side which)
{
	struct exchange_end_of *s = &x->s[which];

	if (!s->waits || !s->side)
		return;
	s->waits = false;
	s->ops->resume(s->side);
}

static void open_back(struct exchange *x, struct origin *o)
{
	struct exchange_end_of *b = &x->s[EXCHANGE_BACK], *f = &x->s[EXCHANGE_FRONT];

	if (x->scrub && !x->token && x->cred_generation != creds_generation(exchange_creds(x))) {
		/* It took a while, and secrets have changed meanwhile: this one may be void. */
		o->class->close(o);
		exchange_cred_again(x);
		return;
	}
	x->at = o->at;
	*b = (struct exchange_end_of){ .how = EXCHANGE_DONE };
	if (o->class->open(o, x, &b->ops, &b->side) < 0) {
		/* Others may go by it. */
		if (o->active == 0)
			o->class->close(o);
		exchange_refuse(x, 503, "limit", "out of memory");
		return;
	}
	x->state = OPEN;
	exchange_set_due(x, EXCHANGE_HEAD_MS);
	b->ops->head(b->side, &x->req, f->complete && !x->token && !x->body);
	if (x->token)
		exchange_token_send(x);
	else if (x->body)
		exchange_body_open(x);
	else
		resume(x, EXCHANGE_FRONT);
}

static void on_dialled(void *user, struct pool_result *r)
{
	struct exchange *x = user;

	x->dial = NULL;
	if (r->origin) {
		open_back(x, r->origin);
		return;
	}
	x->decision = r->decision;
	if (x->flow.recorded)
		x->flow.error = r->decision.reason;
	answer(x, page_status(&x->decision));
}

static unsigned int pool_flags_of(const struct exchange *x)
{
	return (x->flow.dest.scheme == DEST_HTTPS ? POOL_TLS : 0U) | (x->asked ? POOL_ASKED : 0U) |
	       (x->req.websocket ? POOL_H1 : 0U);
}

static void dial(struct exchange *x)
{
	x->state = CONNECTING;
	x->dial = pool_dial(intercept_pool(x->env->proxy->intercept), &x->flow, pool_flags_of(x), on_dialled, x);
	if (!x->dial)
		exchange_refuse(x, 503, "limit", "too many connections to this host, or in all");
}

void exchange_find_back(struct exchange *x)
{
	struct origin *o;

	decide_watch_remove(&x->watch);
	decide_watch_add(exchange_decide(x), &x->watch);
	o = pool_take(intercept_pool(x->env->proxy->intercept), &x->flow, pool_flags_of(x), &x->decision);
	if (o)
		open_back(x, o);
	else if (!x->decision.allow)
		answer(x, page_status(&x->decision));
	else
		dial(x);
}

/* --- the decision --- */

static void decided(struct exchange *x)
{
	if (x->decision.allow)
		exchange_cred_start(x);
	else
		record_and_answer(x, page_status(&x->decision));
}

static void on_decided(void *user, const struct decision *d)
{
	struct exchange *x = user;

	x->wait = NULL;
	x->decision = *d;
	x->asked = d->allow && d->asks;
	decided(x);
}

static void ask_policy(struct exchange *x)
{
	struct decide *d = exchange_decide(x);

	decide_now(d, &x->flow, NULL, false, &x->decision);
	if (x->decision.asks && x->env->asked[0] && str_eq(x->env->asked, x->decision.rule)) {
		x->asked = true;
		decide_now(d, &x->flow, NULL, true, &x->decision);
	} else if (x->decision.asks) {
		x->wait = decide_start(d, &x->flow, &x->decision, on_decided, x);
	}
	if (!x->wait)
		decided(x);
}

static void take_request(struct exchange *x, struct httpmsg *m)
{
	struct request_fault why;

	x->req = *m;
	httpmsg_init(m, HTTPMSG_REQUEST);
	x->state = DECIDING;
	memcpy(x->method, httpmsg_str(&x->req, x->req.method), x->req.method.n);
	x->flow.method = x->method;
	x->flow.target = &x->target;
	x->flow.websocket = x->req.websocket;
	if (x->env->refusal) {
		x->decision = *x->env->refusal;
		answer(x, page_status(&x->decision));
		return;
	}
	if (target_parse(httpmsg_str(&x->req, x->req.path), x->req.path.n, &x->target) < 0) {
		exchange_refuse(x, 503, "limit", "out of memory");
		return;
	}
	if (request_check(x->env, &x->req, &x->flow.dest, &why) < 0) {
		exchange_refuse(x, why.status, why.reason, why.text);
		return;
	}
	ask_policy(x);
}

/* --- towards the guest --- */

static void say_reflected(const struct exchange *x, const char *in)
{
	log_warn("event=reflected in=%s conn=%llu", in, (unsigned long long)x->flow.conn);
}

/* Whether a head or trailers may go on, freed of the credential. */
static bool scrub_fields(struct exchange *x, struct httpmsg *m)
{
	int n = x->scrub ? scrub_head(x->scrub, m) : 0;

	if (n != 0)
		say_reflected(x, "head");
	return n >= 0;
}

static void end_front(struct exchange *x, struct httpmsg *trailers)
{
	x->s[EXCHANGE_FRONT].ops->end(x->s[EXCHANGE_FRONT].side, trailers);
	answered(x);
}

/* Gives on what may go. */
static void give_searched(struct exchange *x)
{
	struct exchange_end_of *f = &x->s[EXCHANGE_FRONT];
	size_t n;
	const uint8_t *bytes = scrub_ready(x->scrub, &n);

	if (n > 0)
		scrub_given(x->scrub, f->ops->data(f->side, bytes, n));
	if (x->state == OPEN && scrub_is_over(x->scrub))
		end_front(x, x->trailers.nentries ? &x->trailers : NULL);
}

static size_t take_searched(struct exchange *x, const uint8_t *bytes, size_t n)
{
	size_t found, took = scrub_take(x->scrub, bytes, n, &found);

	if (found > 0)
		say_reflected(x, "body");
	give_searched(x);
	return took;
}

static void end_searched(struct exchange *x, struct httpmsg *trailers)
{
	scrub_end(x->scrub);
	if (trailers && scrub_fields(x, trailers)) {
		x->trailers = *trailers;
		httpmsg_init(trailers, HTTPMSG_RESPONSE);
	}
	give_searched(x);
}

static void take_final(struct exchange *x, struct httpmsg *m, bool end)
{
	struct exchange_end_of *f = &x->s[EXCHANGE_FRONT];

	if (x->scrub && !end && !request_is_plain(m)) {
		exchange_refuse(x, 502, "bad_response", "the answer is compressed, and cannot be searched for the credential");
		return;
	}
	x->final = true;
	x->slow = request_is_slow(m);
	x->flow.status = m->status;
	httpmsg_strip(m);
	exchange_set_due(x, EXCHANGE_RATE_MS);
	f->ops->head(f->side, m, end);
	if (end)
		answered(x);
}

static void take_switch(struct exchange *x, struct httpmsg *m)
{
	struct exchange_end_of *f = &x->s[EXCHANGE_FRONT];
	const char *wrong = ws_accept(&x->req, m, &x->ws);

	if (wrong) {
		exchange_refuse(x, 502, "bad_response", wrong);
		return;
	}
	x->final = true;
	x->flow.status = m->status;
	x->state = TUNNEL;
	f->complete = x->s[EXCHANGE_BACK].complete = false;
	exchange_set_due(x, WS_IDLE_MS);
	httpmsg_strip(m);
	f->ops->head(f->side, m, false);
}

static void take_response(struct exchange *x, struct httpmsg *m, bool end)
{
	struct exchange_end_of *f = &x->s[EXCHANGE_FRONT];

	if (x->state == OPEN && !scrub_fields(x, m)) {
		back_failed(x, 502, "bad_response", "the answer's head cannot be freed of the credential");
	} else if (x->state == OPEN && !x->final && m->status == 101) {
		take_switch(x, m);
	} else if (x->state == OPEN && !x->final && m->status < 200 && ++x->interim > INTERIM_MAX) {
		exchange_refuse(x, 502, "bad_response", "the server gave too many interim answers");
	} else if (x->state == OPEN && !x->final && m->status < 200) {
		httpmsg_strip(m);
		if (!x->token)
			f->ops->head(f->side, m, false);
	} else if (x->state == OPEN && !x->final) {
		x->s[EXCHANGE_BACK].complete = end;
		if (x->token)
			exchange_token_head(x, m, end);
		else
			take_final(x, m, end);
	}
	httpmsg_done(m);
	httpmsg_init(m, HTTPMSG_RESPONSE);
}

/* --- calls of the sides --- */

struct exchange *exchange_new(struct exchange_env *env, const struct exchange_ops *ops, void *side)
{
	struct exchange *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->env = env;
	x->s[EXCHANGE_FRONT] = (struct exchange_end_of){ .ops = ops, .side = side };
	x->flow = env->flow;
	x->flow.req = ++env->flow.req;
	x->flow.dest = env->dest;
	httpmsg_init(&x->req, HTTPMSG_REQUEST);
	buf_init(&x->page, PAGE_MAX);
	httpmsg_init(&x->trailers, HTTPMSG_RESPONSE);
	x->watch.changed = on_policy;
	x->due.over = on_due;
	x->reap.run = on_reap;
	return x;
}

void exchange_head(struct exchange *x, enum exchange_side from, struct httpmsg *m, bool end)
{
	if (from == EXCHANGE_BACK) {
		take_response(x, m, end);
		return;
	}
	x->s[EXCHANGE_FRONT].complete = end;
	take_request(x, m);
}

/* Bytes of a WebSocket: looked at before they go on, counted as seen only as far as they went. */
static size_t tunnel_data(struct exchange *x, enum exchange_side from, const uint8_t *bytes, size_t n)
{
	struct exchange_end_of *to = &x->s[other(from)];
	struct wsframe *w = ws_direction(&x->ws, from == EXCHANGE_FRONT), before = *w;
	size_t took;

	if (wsframe_feed(w, bytes, n) < 0) {
		cut(x, "bad_frame");
		return n;
	}
	took = to->ops->data(to->side, bytes, n);
	if (took < n) {
		*w = before;
		(void)wsframe_feed(w, bytes, took);
	}
	exchange_set_due(x, WS_IDLE_MS);
	return took;
}

size_t exchange_data(struct exchange *x, enum exchange_side from, const uint8_t *bytes, size_t n)
{
	struct exchange_end_of *s = &x->s[from], *to = &x->s[other(from)];
	size_t took = 0;

	if (x->token && !x->final)
		took = s->complete ? 0 : exchange_token_data(x, from, bytes, n);
	else if (x->body && from == EXCHANGE_FRONT)
		took = exchange_body_data(x, bytes, n);
	else if (x->state == OPEN && !s->complete && (from == EXCHANGE_FRONT || x->final))
		took = from == EXCHANGE_BACK && x->scrub ? take_searched(x, bytes, n) : to->ops->data(to->side, bytes, n);
	else if (x->state == TUNNEL && !s->complete)
		took = tunnel_data(x, from, bytes, n);
	s->moved += took;
	if (from == EXCHANGE_FRONT)
		x->flow.bytes_out += took;
	else
		x->flow.bytes_in += took;
	s->waits = took < n;
	return took;
}

void exchange_end(struct exchange *x, enum exchange_side from, struct httpmsg *trailers)
{
	struct exchange_end_of *s = &x->s[from], *to = &x->s[other(from)];

	if (s->complete)
		return;
	s->complete = true;
	if (trailers)
		request_clean_trailers(trailers);
	if (x->token && !x->final) {
		exchange_token_end(x, from);
	} else if (x->body && from == EXCHANGE_FRONT) {
		exchange_body_end(x);
	} else if (x->state == OPEN && from == EXCHANGE_FRONT) {
		/* What counts from now on is how long the answer takes. */
		exchange_set_due(x, EXCHANGE_HEAD_MS);
		to->ops->end(to->side, trailers);
	} else if (x->state == OPEN && x->final && x->scrub) {
		end_searched(x, trailers);
	} else if (x->state == OPEN && x->final) {
		end_front(x, trailers);
	} else if (x->state == TUNNEL) {
		to->ops->end(to->side, NULL);
		if (to->complete)
			over(x, EXCHANGE_DONE, EXCHANGE_DONE);
	}
	if (trailers) {
		httpmsg_done(trailers);
		httpmsg_init(trailers, HTTPMSG_RESPONSE);
	}
}

void exchange_writable(struct exchange *x, enum exchange_side from)
{
	if (x->state == REFUSED && from == EXCHANGE_FRONT)
		give_page(x);
	if (x->state == OPEN && x->token) {
		if (from == EXCHANGE_BACK)
			exchange_token_send(x);
		return;
	}
	if (x->state == OPEN && from == EXCHANGE_BACK && x->body)
		exchange_body_send(x);
	if (x->state == OPEN && from == EXCHANGE_FRONT && x->scrub)
		give_searched(x);
	if (x->state == OPEN || x->state == TUNNEL)
		resume(x, other(from));
}

const struct httpmsg *exchange_request(const struct exchange *x)
{
	return &x->req;
}

static bool may_try_again(const struct exchange *x, enum exchange_fault fault)
{
	return (fault == EXCHANGE_REFUSED && x->tries < REFUSED_TRIES) ||
	       (fault == EXCHANGE_UNTOUCHED && x->tries == 0 && request_repeatable(&x->req));
}

static void back_gone(struct exchange *x, enum exchange_fault fault)
{
	/* Its answer is complete, and the front is still taking it. */
	if (x->state == OPEN && x->s[EXCHANGE_BACK].complete && ((x->final && x->scrub) || x->token))
		return;
	/* A front that is still there hears of it in `answer` or `cut`. */
	if (x->state == OPEN && !x->final && x->s[EXCHANGE_FRONT].complete && x->flow.bytes_out == 0 && may_try_again(x, fault)) {
		x->tries++;
		dial(x);
	} else if (fault == EXCHANGE_PROTOCOL) {
		back_failed(x, 502, "bad_response", "the server's answer is not acceptable HTTP");
	} else {
		back_failed(x, 502, "unreachable", "the server ended the connection before its answer was complete");
	}
}

static void front_gone(struct exchange *x, enum exchange_fault fault)
{
	struct decision dn;

	if (x->token && exchange_token_stays(x))
		return;
	/* What was wrong with it shows in the log also where it was never sent on. */
	if (fault == EXCHANGE_PROTOCOL && !x->flow.recorded && x->state != REFUSED) {
		decide_refuse(exchange_decide(x), "bad_request", "the request's body is not acceptable HTTP", &dn);
		(void)decide_record(exchange_decide(x), &x->flow, &dn);
	}
	cut(x, fault == EXCHANGE_PROTOCOL ? "bad_request" : fault == EXCHANGE_TIMEOUT ? "timeout" : "client_closed");
}

void exchange_abort(struct exchange *x, enum exchange_side from, enum exchange_fault fault)
{
	x->s[from].side = NULL;
	x->s[from].waits = false;
	if (from == EXCHANGE_BACK && x->state != OVER && x->state != REFUSED)
		back_gone(x, fault);
	else if (from == EXCHANGE_FRONT && x->state != OVER)
		front_gone(x, fault);
	/* Nobody is left to be told. */
	if (x->state == OVER && !x->s[EXCHANGE_FRONT].side && !x->s[EXCHANGE_BACK].side)
		destroy(x);
}

void exchange_reject(struct exchange *x, int status, const char *why)
{
	if (x->env->refusal) {
		x->decision = *x->env->refusal;
		answer(x, status);
		return;
	}
	exchange_refuse(x, status, "bad_request", why);
}
