/* SPDX-License-Identifier: Apache-2.0
 *
 * layer: see layer.h. States: STARTING (the sandbox boots) -> WORKING (sbx-image runs) -> LOOKING (a failure: what did the
 * policy refuse?) -> REMOVING (the sandbox goes) -> over. Any failure goes to REMOVING; only layer_cancel ends it at once.
 */
#include "daemon/layer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "daemon/agents.h"
#include "daemon/create.h"
#include "daemon/field.h"
#include "daemon/forget.h"
#include "daemon/host.h"
#include "daemon/rules.h"
#include "daemon/template.h"
#include "daemon/tool.h"
#include "daemon/traffic.h"

#define LAYER_MAX_MS (60U * 60 * 1000)
#define LAYER_STOP_MS 2000
#define BLOCKED_MAX 5

DEFINE_AUTO(json, json_t *, json_decref);

struct layer {
	struct daemon *daemon; /* borrowed */
	struct layer *next;
	char agent[32];
	char sandbox[STORE_ID_SIZE]; /* its id */
	json_t *profile;             /* owned */
	json_t *result;              /* owned: the last word, said when the sandbox is gone */
	json_t *binding;             /* owned: what the sandbox starts from */
	bool update;
	struct tool *tool; /* WORKING; else NULL */
	struct audience audience;
	uv_timer_t timer;
	unsigned handles;
	unsigned pending; /* callbacks that will come: the sandbox's start and end, the decision log */
	bool cancelled;   /* its last word is said, and it goes with the last of them */
};

bool layer_owns(const struct sandbox *s)
{
	return s->row.name[0] == '.';
}

/* --- removing a sandbox that nobody asked to remove --- */

struct discard {
	struct daemon *daemon;
	char id[STORE_ID_SIZE];
	void (*done)(void *user); /* NULL: nobody waits */
	void *user;
};

static void discard_end(struct discard *x)
{
	if (x->done)
		x->done(x->user);
	free(x);
}

static void on_forgotten(void *user)
{
	struct discard *x = user;
	struct sandbox *s = sandbox_find(x->daemon, x->id, NULL);
	struct err err;

	if (s && sandbox_remove(s, &err) < 0)
		log_error("event=layer_not_removed id=%s error=\"%s\"", x->id, err.msg);
	discard_end(x);
}

static void on_stopped(void *user, struct sandbox *s, const struct err *err)
{
	struct discard *x = user;

	if (!s || forget_ca(x->daemon, x->id, on_forgotten, x) == 1)
		on_forgotten(x);
}

/* done is called once, perhaps at once. */
static void discard(struct daemon *d, const char *id, void (*done)(void *user), void *user)
{
	struct sandbox *s = sandbox_find(d, id, NULL);
	struct discard *x = calloc(1, sizeof(*x));
	struct err err;
	int r;

	if (!x || !s) {
		free(x);
		if (done)
			done(user);
		return;
	}
	*x = (struct discard){ .daemon = d, .done = done, .user = user };
	memcpy(x->id, s->row.id, sizeof(x->id));
	s->removing = true;
	r = sandbox_stop(s, LAYER_STOP_MS, on_stopped, x, &err);
	if (r == 1)
		on_stopped(x, s, NULL);
	else if (r < 0)
		discard_end(x);
}

void layer_sweep(struct daemon *d)
{
	struct sandbox *next;

	for (struct sandbox *s = d->sandboxes; s; s = next) {
		next = s->next;
		if (layer_owns(s)) {
			log_info("event=layer_swept id=%s name=%s", s->row.id, s->row.name);
			discard(d, s->row.id, NULL, NULL);
		}
	}
}

/* --- the end --- */

static void on_handle_closed(uv_handle_t *h)
{
	struct layer *l = h->data;

	if (--l->handles > 0)
		return;
	json_decref(l->profile);
	json_decref(l->result);
	json_decref(l->binding);
	free(l);
}

static void close_handles(struct layer *l)
{
	l->handles = 2;
	uv_close((uv_handle_t *)&l->timer, on_handle_closed);
	audience_close(&l->audience, on_handle_closed, l);
}

/* A callback has come; false: there is nothing more to do, and l may be gone. */
static bool came(struct layer *l)
{
	l->pending--;
	if (l->cancelled && l->pending == 0)
		close_handles(l);
	return !l->cancelled;
}

/* The last word; another build may begin. */
static void tell(struct layer *l)
{
	struct layer **at = &l->daemon->layers;

	while (*at && *at != l)
		at = &(*at)->next;
	if (*at)
		*at = l->next;
	audience_end(&l->audience, l->result);
}

static void over(void *user)
{
	struct layer *l = user;

	if (!came(l))
		return;
	tell(l);
	close_handles(l);
}

/* result: the last word, taken over. */
static void end(struct layer *l, json_t *result)
{
	if (l->result) {
		json_decref(result);
		return;
	}
	l->result = result ? result : json_pack("{s:{s:s, s:s}}", "error", "kind", "internal", "message", "out of memory");
	(void)uv_timer_stop(&l->timer);
	log_info("event=layer_over agent=%s failed=%d", l->agent, json_object_get(l->result, "error") != NULL);
	l->pending++;
	discard(l->daemon, l->sandbox, over, l);
}

static void fail(struct layer *l, const struct err *err)
{
	end(l, json_pack("{s:o}", "error", field_error(err)));
}

/* What the policy refused meanwhile, for the error. */
static void on_traffic(void *user, const struct traffic *t, int error)
{
	struct layer *l = user;
	json_t *list, *result;

	if (!came(l))
		return;
	list = json_array();
	result = TAKE_PTR(l->result);
	for (size_t i = 0; t && i < t->n && json_array_size(list) < BLOCKED_MAX; i++) {
		const struct netlog *n = &t->rows[i].like;

		if (n->verdict == NETLOG_DENY && n->host[0])
			(void)json_array_append_new(list, json_pack("{s:s, s:i, s:s, s:s}", "host", n->host, "port", (int)n->port,
								    "rule", n->rule, "reason", n->reason));
	}
	(void)json_object_set_new(json_object_get(result, "error"), "blocked", list);
	end(l, result);
}

static void on_tool_progress(void *user, const json_t *line)
{
	audience_say(&((struct layer *)user)->audience, line);
}

static void on_tool_end(void *user, const json_t *result)
{
	struct layer *l = user;
	struct err err;

	l->tool = NULL;
	if (!result) {
		(void)err_set(&err, ERR_INTERNAL, EIO, "sbx-image ended without a result: see sandboxd.log");
		fail(l, &err);
		return;
	}
	if (!json_object_get(result, "error")) {
		end(l, json_deep_copy(result));
		return;
	}
	l->result = json_deep_copy(result);
	if (l->result && traffic_sum(l->daemon, l->sandbox, on_traffic, l, &err) == 0)
		l->pending++;
	else
		end(l, TAKE_PTR(l->result));
}

/* --- the work --- */

static const struct tool_ops tool_ops = { .progress = on_tool_progress, .end = on_tool_end };

static void say(struct layer *l, const char *what)
{
	auto_(json) json_t *o = json_pack("{s:s, s:i, s:i}", "progress", what, "step", 1, "steps", 5);

	if (o)
		audience_say(&l->audience, o);
}

static json_t *job_json(const struct layer *l)
{
	auto_free char *socket = str_new("%s/vm/%s.sock", l->daemon->dirs.runtime, l->sandbox);
	auto_(json) json_t *now = template_layer(l->daemon->dirs.cache, l->profile);
	json_t *have = json_is_true(json_object_get(now, "current")) ? json_object_get(now, "package_version") : NULL;

	return json_pack("{s:s, s:O, s:O, s:s?, s:O, s:b, s:O?}", "agent", l->agent, "install",
			 json_object_get(l->profile, "install"), "version", json_object_get(l->profile, "version"), "socket", socket,
			 "base", l->binding, "update", l->update, "have", l->update ? have : NULL);
}

static void on_started(void *user, struct sandbox *s, const struct err *err)
{
	static const char *const args[] = { "layer", "--json", NULL };
	struct layer *l = user;
	auto_(json) json_t *job = NULL;
	struct err mine;

	if (!came(l) || l->result)
		return; /* it took too long, and is being removed */
	if (err) {
		fail(l, err);
		return;
	}
	job = job_json(l);
	if (job)
		l->tool = tool_start(&l->daemon->loop, args, job, &tool_ops, l, &mine);
	else
		(void)err_errno(&mine, ENOMEM, "the layer");
	if (!l->tool)
		fail(l, &mine);
}

static void on_timeout(uv_timer_t *t)
{
	struct layer *l = t->data;
	struct err err;

	tool_kill(TAKE_PTR(l->tool));
	(void)err_set(&err, ERR_TIMEOUT, ETIMEDOUT, "the layer of the agent %s was not ready within %u minutes", l->agent,
		      LAYER_MAX_MS / 60000);
	fail(l, &err);
}

/* The sandbox is there, stopped. */
static int begin(struct daemon *d, struct layer *l, struct sandbox *s, struct err *err)
{
	int r;

	memcpy(l->sandbox, s->row.id, sizeof(l->sandbox));
	l->binding = json_deep_copy(s->row.template);
	l->daemon = d;
	audience_init(&l->audience, &d->loop);
	(void)uv_timer_init(&d->loop, &l->timer);
	l->timer.data = l;
	l->next = d->layers;
	d->layers = l;
	say(l, "starting a sandbox to install in");
	r = sandbox_start(s, on_started, l, err);
	if (r < 0) {
		fail(l, err);
		return r;
	}
	l->pending++;
	(void)uv_timer_start(&l->timer, on_timeout, LAYER_MAX_MS, 0);
	log_info("event=layer_started agent=%s id=%s update=%d", l->agent, l->sandbox, l->update);
	return 0;
}

static int start(struct daemon *d, json_t *profile, bool update, struct layer **ret, struct err *err)
{
	auto_free struct layer *l = calloc(1, sizeof(*l));
	struct sandbox *s;
	int r = l ? host_ready(d, err) : err_errno(err, ENOMEM, "the layer");

	if (r == 0)
		r = rules_ready(d, err);
	if (r < 0)
		return r;
	(void)str_format(l->agent, sizeof(l->agent), "%s", json_string_value(json_object_get(profile, "name")));
	r = create_builder(d, l->agent, &s, err);
	if (r < 0)
		return r;
	l->update = update;
	l->profile = json_incref(profile);
	*ret = TAKE_PTR(l); /* its own from here on */
	return begin(d, *ret, s, err);
}

int layer_join(struct daemon *d, const char *agent, bool update, audience_line *line, void *user, struct err *err)
{
	auto_(json) json_t *profile = NULL, *now = NULL;
	struct layer *l = d->layers;
	int r = agents_find(&d->dirs, agent, &profile, err);

	if (r < 0)
		return r;
	while (l && !str_eq(l->agent, agent))
		l = l->next;
	if (!l && !json_object_get(profile, "install"))
		return 1;
	now = template_layer(d->dirs.cache, profile);
	if (!l && !update && json_is_true(json_object_get(now, "current")))
		return 1;
	if (!l)
		r = start(d, profile, update, &l, err);
	return r < 0 ? r : audience_join(&l->audience, line, user, "this layer", err);
}

void layer_cancel(struct daemon *d)
{
	while (d->layers) {
		struct layer *l = d->layers;

		tool_kill(TAKE_PTR(l->tool));
		json_decref(l->result);
		l->result = json_pack("{s:{s:s, s:s}}", "error", "kind", "unavailable", "message",
				      "the daemon was stopped while it made the agent's layer: try again");
		l->cancelled = true;
		tell(l);
		if (l->pending == 0)
			close_handles(l);
	}
}
