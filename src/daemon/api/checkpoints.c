/* SPDX-License-Identifier: Apache-2.0
 *
 * checkpoints: /v1/sandboxes/{name}/checkpoint, checkpoints, checkpoints/remove, restore and fork.
 */
#include "daemon/checkpoint.h"

#include <errno.h>

#include "base/own.h"
#include "base/str.h"
#include "daemon/api/api.h"
#include "daemon/field.h"
#include "daemon/fork.h"
#include "daemon/sandbox.h"

/* The sandbox that the path names and the one text of the body (NULL where it may be left out), or the request is answered. */
static struct sandbox *named(struct request *r, const char *key, bool required, const char **ret)
{
	const char *const keys[] = { key, NULL };
	struct err err;
	struct sandbox *s = NULL;
	int e = field_only(r->body, "the request", keys, &err);

	*ret = NULL;
	if (e == 0)
		e = field_string(r->body, key, required, ret, &err);
	if (e == 0)
		s = sandbox_find(r->daemon, r->name, &err);
	if (!s)
		request_fail(r, &err);
	return s;
}

static void fail(struct request *r, const struct err *err)
{
	struct err mine = *err;

	(void)err_wrap(&mine, "sandbox '%s'", r->name);
	request_fail(r, &mine);
}

static void on_made(void *user, struct sandbox *s, const json_t *reply, const struct err *err)
{
	json_t *o;

	if (err) {
		fail(user, err);
		return;
	}
	o = json_copy((json_t *)(uintptr_t)reply);
	(void)json_object_del(o, "ok");
	request_reply(user, 201, o);
}

void api_checkpoint(struct request *r)
{
	const char *tag;
	struct sandbox *s = named(r, "tag", false, &tag);
	struct err err;

	if (s && checkpoint_make(s, tag, on_made, r, &err) < 0)
		request_fail(r, &err);
}

void api_checkpoints(struct request *r)
{
	struct err err;
	struct sandbox *s = sandbox_find(r->daemon, r->name, &err);

	if (s)
		request_reply(r, 200, json_pack("{s:o}", "checkpoints", checkpoint_list(s)));
	else
		request_fail(r, &err);
}

void api_checkpoint_remove(struct request *r)
{
	const char *tag;
	struct sandbox *s = named(r, "tag", true, &tag);
	struct err err;

	if (!s)
		return;
	if (checkpoint_remove(s, tag, &err) < 0)
		request_fail(r, &err);
	else
		request_empty(r);
}

/* --- what is started afterwards --- */

/* A copy that is made, and then the start of what goes on from it. */
struct started {
	struct request *request;
	json_t *reply; /* owned */
};

static void answer(struct started *a, const struct sandbox *s, const struct err *err)
{
	auto_free char *path = s ? str_new("%s/vm/%s.sock", a->request->daemon->dirs.runtime, s->row.id) : NULL;

	if (err) {
		request_fail(a->request, err);
	} else {
		(void)json_object_set_new(a->reply, "id", json_string(s->row.id));
		(void)json_object_set_new(a->reply, "name", json_string(s->row.name));
		(void)json_object_set_new(a->reply, "state", json_string(sandbox_status(s)));
		if (path && s->state == SANDBOX_RUNNING)
			(void)json_object_set_new(a->reply, "socket", json_string(path));
		(void)json_object_del(a->reply, "ok");
		request_reply(a->request, 200, json_incref(a->reply));
	}
	json_decref(a->reply);
	free(a);
}

static void on_started(void *user, struct sandbox *s, const struct err *err)
{
	answer(user, s, err);
}

static void on_copied(void *user, struct sandbox *s, const json_t *reply, const struct err *err)
{
	struct started *a = calloc(1, sizeof(*a));
	struct err mine;
	int e;

	if (err || !a) {
		if (err)
			fail(user, err);
		else
			request_reply(user, 500, NULL);
		free(a);
		return;
	}
	*a = (struct started){ .request = user, .reply = json_copy((json_t *)(uintptr_t)reply) };
	e = s->paused ? sandbox_start(s, on_started, a, &mine) : 1;
	if (e != 0)
		answer(a, s, e < 0 ? &mine : NULL);
}

void api_restore(struct request *r)
{
	const char *tag;
	struct sandbox *s = named(r, "tag", true, &tag);
	struct err err;

	if (s && checkpoint_restore(s, tag, on_copied, r, &err) < 0)
		request_fail(r, &err);
}

void api_fork(struct request *r)
{
	const char *name;
	struct sandbox *s = named(r, "name", true, &name);
	struct err err;

	if (s && fork_begin(s, name, on_copied, r, &err) < 0)
		request_fail(r, &err);
}
