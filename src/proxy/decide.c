/* SPDX-License-Identifier: Apache-2.0
 *
 * decide: see decide.h. A question to the host's user is one `ask`; flows that ask for the same (destination, method, path, rule)
 * wait for the same one.
 */
#include "proxy/decide.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/own.h"
#include "base/str.h"

struct decide_wait {
	struct decide_wait *prev, *next;
	struct ask *ask;
	const struct flow *flow; /* borrowed */
	decide_done *done;
	void *user;
};

struct ask {
	uv_timer_t timer;
	struct ask *next;
	struct decide *decide;
	uint64_t number;
	struct decide_wait *waits; /* owned */
	struct dest dest;
	char method[RULE_METHOD_MAX + 1];
	char *path; /* owned; NULL: a connection */
	char rule[RULE_ID_MAX + 1];
	bool websocket;
	bool ending; /* its waits are being told */
};

struct decide {
	uv_loop_t *loop;
	struct journal *journal;      /* borrowed */
	const struct decide_ops *ops; /* borrowed */
	void *user;
	struct policy *policy; /* owned; an empty one denies everything */
	char sandbox[RULE_SANDBOX_MAX + 1];
	struct ask *asks; /* owned */
	uint64_t last_ask;
	unsigned int ask_seconds;
	size_t nasks, nwaits;
	struct decide_watch watches; /* head of a ring */
	bool (*bound)(void *user, const struct dest *dest);
	void *bound_user;
};

struct decide *decide_new(uv_loop_t *loop, struct journal *j, const struct decide_ops *ops, void *user)
{
	struct decide *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->policy = policy_new();
	if (!d->policy) {
		free(d);
		return NULL;
	}
	d->loop = loop;
	d->journal = j;
	d->ops = ops;
	d->user = user;
	d->ask_seconds = DECIDE_ASK_SECONDS;
	d->watches.prev = d->watches.next = &d->watches;
	return d;
}

void decide_set_sandbox(struct decide *d, const char *name)
{
	(void)str_format(d->sandbox, sizeof(d->sandbox), "%s", name);
}

void decide_set_last_ask(struct decide *d, uint64_t last)
{
	if (last > d->last_ask)
		d->last_ask = last;
}

void decide_set_ask_seconds(struct decide *d, unsigned int seconds)
{
	d->ask_seconds = seconds;
}

uint64_t decide_generation(const struct decide *d)
{
	return d->policy->generation;
}

/* --- verdicts --- */

static void judge(struct decide *d, const struct flow *f, const struct policy_address *at, struct policy_query *q,
		  struct verdict *v)
{
	*q = (struct policy_query){
		.sandbox = d->sandbox[0] ? d->sandbox : NULL,
		.dest = &f->dest,
		.method = f->method,
		.target = f->target,
		.websocket = f->websocket,
		.address = at,
	};
	policy_decide(d->policy, q, v);
}

static void put_into_words(struct decide *d, const struct policy_query *q, const struct verdict *v, struct decision *ret)
{
	*ret = (struct decision){
		.allow = v->action == RULE_ALLOW,
		.asks = v->action == RULE_ASK,
		.by_rule = v->explicit,
		.reason = policy_reason_name(v->reason),
		.needs_inspection = v->needs_inspection || (d->bound && d->bound(d->bound_user, q->dest)),
		.splice = v->splice,
		.ssh = v->expect == RULE_EXPECT_SSH,
		.path_matters = v->path_matters,
		.generation = d->policy->generation,
	};
	(void)str_format(ret->rule, sizeof(ret->rule), "%s", v->id ? v->id : "");
	explain_origin(d->policy, v, ret->origin);
	if (ret->allow)
		return;
	explain_verdict(q, v, ret->text);
	explain_remedy(q, v, ret->remedy);
}

void decide_now(struct decide *d, const struct flow *f, const struct policy_address *at, bool asked, struct decision *ret)
{
	struct policy_query q;
	struct verdict v;

	judge(d, f, at, &q, &v);
	put_into_words(d, &q, &v, ret);
	if (v.action == RULE_ASK) {
		ret->allow = asked;
		ret->reason = "ask";
	}
}

void decide_refuse(struct decide *d, const char *reason, const char *text, struct decision *ret)
{
	*ret = (struct decision){ .reason = reason, .generation = d->policy->generation };
	(void)str_format(ret->rule, sizeof(ret->rule), "builtin");
	(void)str_format(ret->origin, sizeof(ret->origin), "builtin");
	(void)str_format(ret->text, sizeof(ret->text), "%s", text);
}

int decide_record(struct decide *d, struct flow *f, struct decision *dn)
{
	int r = journal_decision(d->journal, f, dn);

	if (r == 0)
		return 0;
	log_error("event=log_failed error=%s", strerror(-r));
	if (dn->allow)
		decide_refuse(d, "log", "the decision cannot be written to the log", dn);
	return r;
}

void decide_end(struct decide *d, struct flow *f)
{
	journal_end(d->journal, f);
}

/* --- asking --- */

static void ask_freed(uv_handle_t *h)
{
	struct ask *a = container_of((uv_timer_t *)h, struct ask, timer);

	free(a->path);
	free(a);
}

static void ask_forget(struct ask *a)
{
	struct decide *d = a->decide;
	struct ask **at = &d->asks;

	while (*at != a)
		at = &(*at)->next;
	*at = a->next;
	d->nasks--;
	d->ops->event(d->user, json_pack("{s:s, s:I}", "event", "ask_over", "ask", (json_int_t)a->number));
	uv_close((uv_handle_t *)&a->timer, ask_freed);
}

static void wait_remove(struct decide_wait *w)
{
	struct ask *a = w->ask;

	if (w->prev)
		w->prev->next = w->next;
	else
		a->waits = w->next;
	if (w->next)
		w->next->prev = w->prev;
	a->decide->nwaits--;
}

/* The first of the waits gets its decision; what done does may cancel others. */
static void wait_finish(struct decide_wait *w, const struct decision *dn)
{
	decide_done *done = w->done;
	void *user = w->user;

	wait_remove(w);
	free(w);
	done(user, dn);
}

static void ask_end(struct ask *a, bool allow, const char *why)
{
	struct decide *d = a->decide;

	a->ending = true;
	while (a->waits) {
		struct decision dn;

		decide_now(d, a->waits->flow, NULL, allow, &dn);
		if (!dn.allow && dn.asks)
			(void)str_format(dn.text, sizeof(dn.text), "%s", why);
		wait_finish(a->waits, &dn);
	}
	ask_forget(a);
}

static void on_time_over(uv_timer_t *t)
{
	ask_end(container_of(t, struct ask, timer), false, "it was to be approved by the user, who did not answer in time");
}

void decide_answer(struct decide *d, uint64_t ask, bool allow)
{
	for (struct ask *a = d->asks; a; a = a->next)
		if (a->number == ask) {
			ask_end(a, allow, "it was to be approved by the user, who refused it");
			return;
		}
}

static bool ask_is_about(const struct ask *a, const struct flow *f, const char *rule)
{
	const char *path = f->target ? f->target->path : NULL;

	return dest_equal(&a->dest, &f->dest) && a->dest.scheme == f->dest.scheme && str_eq(a->rule, rule) &&
	       a->websocket == f->websocket && str_eq(a->method, f->method ? f->method : "") && (path && a->path ? str_eq(a->path, path) : path == a->path);
}

static struct ask *ask_new(struct decide *d, const struct flow *f, const char *rule)
{
	const char *path = f->target ? f->target->path : NULL;
	char dest[DEST_PRINT_MAX];
	struct ask *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->path = path ? strdup(path) : NULL;
	if (path && !a->path) {
		free(a);
		return NULL;
	}
	a->decide = d;
	a->number = ++d->last_ask;
	a->dest = f->dest;
	a->websocket = f->websocket;
	(void)str_format(a->method, sizeof(a->method), "%s", f->method ? f->method : "");
	(void)str_format(a->rule, sizeof(a->rule), "%s", rule);
	(void)uv_timer_init(d->loop, &a->timer);
	(void)uv_timer_start(&a->timer, on_time_over, (uint64_t)d->ask_seconds * 1000, 0);
	a->next = d->asks;
	d->asks = a;
	d->nasks++;
	dest_print(&f->dest, dest);
	d->ops->event(d->user, json_pack("{s:s, s:I, s:s, s:s?, s:s?, s:s, s:i}", "event", "ask", "ask", (json_int_t)a->number,
					 "dest", dest, "method", f->method ? a->method : NULL, "path", a->path, "rule", a->rule,
					 "seconds", (int)d->ask_seconds));
	return a;
}

struct decide_wait *decide_start(struct decide *d, const struct flow *f, struct decision *ret, decide_done *done, void *user)
{
	struct decide_wait *w = NULL;
	struct policy_query q;
	struct verdict v;
	struct ask *a;

	judge(d, f, NULL, &q, &v);
	put_into_words(d, &q, &v, ret);
	if (v.action != RULE_ASK)
		return NULL;
	for (a = d->asks; a && !ask_is_about(a, f, v.id); a = a->next)
		;
	if (d->nwaits < DECIDE_WAITS_MAX && (a || d->nasks < DECIDE_ASKS_MAX))
		w = calloc(1, sizeof(*w));
	if (w && !a)
		a = ask_new(d, f, v.id);
	if (!w || !a) {
		free(w);
		decide_refuse(d, "limit", "too many requests wait for the user's approval", ret);
		return NULL;
	}
	*w = (struct decide_wait){ .ask = a, .flow = f, .done = done, .user = user, .next = a->waits };
	if (a->waits)
		a->waits->prev = w;
	a->waits = w;
	d->nwaits++;
	return w;
}

void decide_cancel(struct decide_wait *w)
{
	struct ask *a = w->ask;

	wait_remove(w);
	free(w);
	if (!a->waits && !a->ending)
		ask_forget(a);
}

/* --- a new policy --- */

void decide_watch_add(struct decide *d, struct decide_watch *w)
{
	w->decide = d;
	w->next = &d->watches;
	w->prev = d->watches.prev;
	w->prev->next = w;
	d->watches.prev = w;
}

void decide_watch_remove(struct decide_watch *w)
{
	if (!w->decide)
		return;
	w->prev->next = w->next;
	w->next->prev = w->prev;
	w->decide = NULL;
}

/* One question that the new policy answers, or NULL. */
static struct ask *ask_answered(struct decide *d)
{
	for (struct ask *a = d->asks; a; a = a->next) {
		struct policy_query q;
		struct verdict v;

		judge(d, a->waits->flow, NULL, &q, &v);
		if (v.action != RULE_ASK)
			return a;
	}
	return NULL;
}

void decide_set_bound(struct decide *d, bool (*fn)(void *user, const struct dest *dest), void *user)
{
	d->bound = fn;
	d->bound_user = user;
}

void decide_look_again(struct decide *d)
{
	struct decide_watch mark = { .changed = NULL };

	/* Those that are there now, each once; they may go, and new ones may come meanwhile. */
	decide_watch_add(d, &mark);
	while (d->watches.next != &mark) {
		struct decide_watch *w = d->watches.next;

		decide_watch_remove(w);
		decide_watch_add(d, w);
		w->changed(w);
	}
	decide_watch_remove(&mark);
}

void decide_set_policy(struct decide *d, struct policy *p)
{
	struct ask *a;

	policy_free(d->policy);
	d->policy = p;
	while ((a = ask_answered(d)) != NULL)
		ask_end(a, false, "the policy has changed");
	decide_look_again(d);
}

void decide_free(struct decide *d)
{
	if (!d)
		return;
	while (d->asks) {
		while (d->asks->waits) {
			struct decide_wait *w = d->asks->waits;

			wait_remove(w);
			free(w);
		}
		ask_forget(d->asks);
	}
	policy_free(d->policy);
	free(d);
}
