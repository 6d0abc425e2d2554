/* SPDX-License-Identifier: Apache-2.0
 *
 * sandboxes: /v1/sandboxes and /v1/sandboxes/{name}: list, create, show, delete.
 */
#include <errno.h>

#include "daemon/api/api.h"
#include "daemon/create.h"
#include "daemon/forget.h"
#include "daemon/layer.h"
#include "daemon/sandbox.h"

void api_list(struct request *r)
{
	json_t *list = json_array();

	for (struct sandbox *s = r->daemon->sandboxes; list && s; s = s->next)
		if (!layer_owns(s) && json_array_append_new(list, sandbox_json(s, false)) < 0) {
			json_decref(list);
			list = NULL;
		}
	request_reply(r, 200, list ? json_pack("{s:o}", "sandboxes", list) : NULL);
}

void api_create(struct request *r)
{
	struct sandbox *s;
	struct err err;
	bool existed;

	if (create_sandbox(r->daemon, r->body, &s, &existed, &err) < 0)
		request_fail(r, &err);
	else
		request_reply(r, existed ? 200 : 201, sandbox_json(s, false));
}

void api_show(struct request *r)
{
	struct err err;
	struct sandbox *s = sandbox_find(r->daemon, r->name, &err);

	if (s)
		request_reply(r, 200, sandbox_json(s, true));
	else
		request_fail(r, &err);
}

/* The sandbox is off, and its CA is gone; it cannot have been started since, nor removed by another call. */
static void on_forgotten(void *user)
{
	struct request *r = user;
	struct err err;
	struct sandbox *s = sandbox_find(r->daemon, r->name, &err);

	if (s)
		s->removing = false;
	if (!s || sandbox_remove(s, &err) < 0)
		request_fail(r, &err);
	else
		request_empty(r);
}

static void remove_now(struct request *r, struct sandbox *s)
{
	s->removing = true;
	if (forget_ca(r->daemon, s->row.id, on_forgotten, r) == 1)
		on_forgotten(r);
}

static void on_stopped(void *user, struct sandbox *s, const struct err *err)
{
	struct request *r = user;

	if (err) {
		s->removing = false;
		request_fail(r, err);
		return;
	}
	remove_now(r, s);
}

void api_delete(struct request *r)
{
	struct err err;
	struct sandbox *s = sandbox_find(r->daemon, r->name, &err);
	int e = s ? 0 : -ENOENT;

	if (e == 0 && s->copying)
		e = err_set(&err, ERR_CONFLICT, EBUSY, "sandbox '%s' is being copied: try again", s->row.name);
	if (e == 0 && s->removing)
		e = err_set(&err, ERR_CONFLICT, EBUSY, "sandbox '%s' is being removed already", s->row.name);
	if (e == 0 && s->sessions > 0 && !r->force)
		e = err_set(&err, ERR_CONFLICT, EBUSY,
			    "sandbox '%s' has %u active session%s: end %s first, or use --force", s->row.name,
			    s->sessions, s->sessions == 1 ? "" : "s", s->sessions == 1 ? "it" : "them");
	if (e == 0)
		e = r->force ? sandbox_throw_away(s, on_stopped, r, &err) : sandbox_stop(s, SANDBOX_STOP_MS, on_stopped, r, &err);
	if (e < 0)
		request_fail(r, &err);
	else if (e == 1)
		remove_now(r, s);
	else
		s->removing = true;
}
