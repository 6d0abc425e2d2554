/* SPDX-License-Identifier: Apache-2.0
 *
 * pause: /v1/sandboxes/{name}/pause and resume.
 */
#include "daemon/pause.h"

#include <errno.h>

#include "base/own.h"
#include "base/str.h"
#include "daemon/api/api.h"
#include "daemon/sandbox.h"

static struct sandbox *named(struct request *r, struct err *err)
{
	return api_no_body(r) ? sandbox_find(r->daemon, r->name, err) : NULL;
}

static void on_paused(void *user, struct sandbox *s, const json_t *reply, const struct err *err)
{
	struct request *r = user;
	struct err mine;
	json_t *o;

	if (err) {
		mine = *err;
		(void)err_wrap(&mine, "sandbox '%s'", r->name);
		request_fail(r, &mine);
		return;
	}
	o = json_copy((json_t *)(uintptr_t)reply);
	(void)json_object_del(o, "ok");
	(void)json_object_set_new(o, "state", json_string(sandbox_status(s)));
	request_reply(r, 200, o);
}

void api_pause(struct request *r)
{
	struct err err = { 0 };
	struct sandbox *s = named(r, &err);

	if (s ? pause_begin(s, on_paused, r, &err) < 0 : err.kind != ERR_NONE)
		request_fail(r, &err);
}

static void on_resumed(void *user, struct sandbox *s, const struct err *err)
{
	struct request *r = user;
	auto_free char *path = str_new("%s/vm/%s.sock", r->daemon->dirs.runtime, s->row.id);

	if (err)
		request_fail(r, err);
	else
		request_reply(r, 200, path ? json_pack("{s:s, s:s, s:b}", "state", "running", "socket", path, "resumed", s->resumed) : NULL);
}

void api_resume(struct request *r)
{
	struct err err = { 0 };
	struct sandbox *s = named(r, &err);
	int e = 0;

	if (s && !(s->state == SANDBOX_STOPPED && s->paused))
		e = err_set(&err, ERR_CONFLICT, EALREADY, "sandbox '%s' is %s, not paused", s->row.name, sandbox_status(s));
	else if (s)
		e = sandbox_start(s, on_resumed, r, &err);
	if (e < 0 || (!s && err.kind != ERR_NONE))
		request_fail(r, &err);
}
