/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_asks: /v1/policy/pending and /v1/policy/answer: what waits for the user's answer in the sandboxes that run.
 */
#include <errno.h>

#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "daemon/api/api.h"
#include "daemon/field.h"
#include "daemon/sandbox.h"

#define ASK_MS 2000
#define PENDING_MAX 256 /* shown of one sandbox */

/* One request that asks several supervisors. */
struct gather {
	struct request *request;
	json_t *list;   /* owned */
	size_t waiting; /* for answers, and for the asking itself to end */
};

/* One question to one supervisor. */
struct asked {
	struct gather *gather;
	char name[NAME_SIZE];
};

static void one_less(struct gather *g)
{
	if (--g->waiting > 0)
		return;
	request_reply(g->request, 200, json_pack("{s:o}", "pending", g->list));
	free(g);
}

/* What a proxy says is taken over key by key. */
static json_t *pending_json(const char *sandbox, const json_t *in)
{
	static const char *const texts[] = { "dest", "method", "path", "rule" };
	json_t *o = json_pack("{s:s, s:I, s:I}", "sandbox", sandbox, "ask", json_integer_value(json_object_get(in, "ask")),
			      "seconds", json_integer_value(json_object_get(in, "seconds")));

	for (size_t i = 0; o && i < ARRAY_LEN(texts); i++)
		if (json_is_string(json_object_get(in, texts[i])))
			(void)json_object_set(o, texts[i], json_object_get(in, texts[i]));
	return o;
}

static void on_pending(void *user, json_t *reply, const struct err *err)
{
	struct asked *a = user;
	const json_t *list = json_object_get(reply, "asks");

	if (err)
		log_debug("event=pending sandbox=%s error=\"%s\"", a->name, err->msg);
	for (size_t i = 0; i < json_array_size(list) && i < PENDING_MAX; i++)
		(void)json_array_append_new(a->gather->list, pending_json(a->name, json_array_get(list, i)));
	one_less(a->gather);
	free(a);
}

static void ask_one(struct gather *g, struct sandbox *s)
{
	struct vmlink_call call = sandbox_call(s, json_pack("{s:s}", "op", "pending"), ASK_MS);
	struct asked *a = calloc(1, sizeof(*a));
	struct err err;

	if (!a) {
		json_decref(call.request);
		return;
	}
	a->gather = g;
	(void)str_format(a->name, sizeof(a->name), "%s", s->row.name);
	if (vmlink_ask(&call, on_pending, a, &err) < 0)
		free(a);
	else
		g->waiting++;
}

void api_policy_pending(struct request *r)
{
	struct gather *g = calloc(1, sizeof(*g));
	struct err err;

	if (!g || !(g->list = json_array())) {
		free(g);
		(void)err_errno(&err, ENOMEM, "the request");
		request_fail(r, &err);
		return;
	}
	g->request = r;
	g->waiting = 1;
	for (struct sandbox *s = r->daemon->sandboxes; s; s = s->next)
		if (s->state == SANDBOX_RUNNING)
			ask_one(g, s);
	one_less(g);
}

static void on_answered(void *user, json_t *reply, const struct err *err)
{
	if (err)
		request_fail(user, err);
	else
		request_reply(user, 200, json_pack("{s:b}", "ok", 1));
}

void api_policy_answer(struct request *r)
{
	static const char *const keys[] = { "sandbox", "ask", "allow", NULL };
	const char *name = NULL;
	struct sandbox *s = NULL;
	struct vmlink_call call;
	uint64_t ask = 0;
	bool allow = false;
	struct err err;
	int e = field_only(r->body, "the request", keys, &err);

	if (e == 0)
		e = field_string(r->body, "sandbox", true, &name, &err);
	if (e == 0)
		e = field_u64(r->body, "ask", 0, INT64_MAX, &ask, &err);
	if (e == 0)
		e = field_bool(r->body, "allow", true, &allow, &err);
	if (e == 0 && !(s = sandbox_find(r->daemon, name, &err)))
		e = -ENOENT;
	if (e == 0 && s->state != SANDBOX_RUNNING)
		e = err_set(&err, ERR_NOT_FOUND, ENOENT, "sandbox '%s' does not run, so nothing waits there", s->row.name);
	if (e == 0) {
		call = sandbox_call(s, json_pack("{s:s, s:I, s:b}", "op", "answer", "ask", (json_int_t)ask, "allow", allow),
				    ASK_MS);
		e = vmlink_ask(&call, on_answered, r, &err);
	}
	if (e < 0)
		request_fail(r, &err);
}
