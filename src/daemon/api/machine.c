/* SPDX-License-Identifier: Apache-2.0
 *
 * machine: /v1/sandboxes/{name}/start, stop, keep, status: the machine of a sandbox.
 */
#include <errno.h>

#include "base/own.h"
#include "base/str.h"
#include "daemon/api/api.h"
#include "daemon/field.h"
#include "daemon/pause.h"
#include "daemon/sandbox.h"
#include "daemon/vmlink.h"

#define STATUS_MS 2000
#define STOP_MAX_MS 600000

/* The sandbox that the path names, or the request is answered. */
static struct sandbox *named(struct request *r)
{
	struct err err;
	struct sandbox *s = sandbox_find(r->daemon, r->name, &err);

	if (!s)
		request_fail(r, &err);
	return s;
}

static void answer_start(struct request *r, const struct sandbox *s, bool resumed)
{
	auto_free char *path = str_new("%s/vm/%s.sock", r->daemon->dirs.runtime, s->row.id);

	request_reply(r, 200, path ? json_pack("{s:s, s:s, s:b}", "state", "running", "socket", path, "resumed", resumed) : NULL);
}

static void on_started(void *user, struct sandbox *s, const struct err *err)
{
	if (err)
		request_fail(user, err);
	else
		answer_start(user, s, s->resumed);
}

void api_start(struct request *r)
{
	struct err err;
	struct sandbox *s;
	int e;

	if (!api_no_body(r))
		return;
	s = named(r);
	if (!s)
		return;
	e = sandbox_start(s, on_started, r, &err);
	if (e < 0)
		request_fail(r, &err);
	else if (e == 1)
		answer_start(r, s, false);
}

static void on_stopped(void *user, struct sandbox *s, const struct err *err)
{
	if (err)
		request_fail(user, err);
	else
		request_reply(user, 200, json_pack("{s:s}", "state", "stopped"));
}

void api_stop(struct request *r)
{
	static const char *const keys[] = { "timeout_ms", NULL };
	uint64_t timeout_ms = SANDBOX_STOP_MS;
	struct err err;
	struct sandbox *s;
	int e = field_only(r->body, "the request", keys, &err);

	if (e == 0)
		e = field_u64(r->body, "timeout_ms", 0, STOP_MAX_MS, &timeout_ms, &err);
	if (e < 0) {
		request_fail(r, &err);
		return;
	}
	s = named(r);
	if (!s)
		return;
	if (s->state == SANDBOX_STOPPED && s->paused && !s->copying) {
		if (pause_discard(s, &err) < 0)
			request_fail(r, &err);
		else
			request_reply(r, 200, json_pack("{s:s, s:b}", "state", "stopped", "discarded", 1));
		return;
	}
	e = sandbox_stop(s, timeout_ms, on_stopped, r, &err);
	if (e < 0)
		request_fail(r, &err);
	else if (e == 1)
		on_stopped(r, s, NULL);
}

void api_keep(struct request *r)
{
	static const char *const keys[] = { "keep", NULL };
	struct err err;
	struct sandbox *s;
	bool keep;
	int e = field_only(r->body, "the request", keys, &err);

	if (e == 0)
		e = field_bool(r->body, "keep", true, &keep, &err);
	if (e < 0) {
		request_fail(r, &err);
		return;
	}
	s = named(r);
	if (!s)
		return;
	e = sandbox_keep(s, keep, &err);
	if (e < 0)
		request_fail(r, &err);
	else
		request_reply(r, 200, json_pack("{s:b}", "keep", keep));
}

static void on_status(void *user, json_t *reply, const struct err *err)
{
	struct request *r = user;
	struct err mine;

	if (!err) {
		request_reply(r, 200, json_incref(reply));
		return;
	}
	mine = *err;
	(void)err_wrap(&mine, "sandbox '%s'", r->name);
	request_fail(r, &mine);
}

void api_status(struct request *r)
{
	struct sandbox *s = named(r);
	struct vmlink_call call;
	struct err err;

	if (!s)
		return;
	if (s->state == SANDBOX_STOPPED) {
		request_reply(r, 200, json_pack("{s:s}", "state", "stopped"));
		return;
	}
	call = sandbox_call(s, json_pack("{s:s}", "op", "status"), STATUS_MS);
	if (vmlink_ask(&call, on_status, r, &err) < 0)
		request_fail(r, &err);
}
