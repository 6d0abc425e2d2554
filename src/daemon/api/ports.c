/* SPDX-License-Identifier: Apache-2.0
 *
 * ports: /v1/sandboxes/{name}/ports: what a sandbox publishes on the host.
 */
#include <errno.h>

#include "daemon/api/api.h"
#include "daemon/ports.h"
#include "daemon/sandbox.h"

static void reply(struct request *r, const struct sandbox *s)
{
	request_reply(r, 200, json_pack("{s:o, s:s}", "ports", ports_json(&s->row), "status", sandbox_status(s)));
}

void api_ports(struct request *r)
{
	struct err err;
	struct sandbox *s = sandbox_find(r->daemon, r->name, &err);

	if (s)
		reply(r, s);
	else
		request_fail(r, &err);
}

/* s is NULL where it was removed meanwhile. */
static void on_changed(void *user, struct sandbox *s, const struct err *err)
{
	struct err gone;

	if (!s) {
		(void)err_set(&gone, ERR_NOT_FOUND, ENOENT, "the sandbox was removed meanwhile");
		request_fail(user, &gone);
	} else if (err) {
		request_fail(user, err);
	} else {
		reply(user, s);
	}
}

void api_ports_change(struct request *r)
{
	struct err err;
	struct sandbox *s = sandbox_find(r->daemon, r->name, &err);
	int e = s ? ports_change(s, r->body, on_changed, r, &err) : -ENOENT;

	if (e < 0)
		request_fail(r, &err);
	else if (e == 1)
		reply(r, s);
}
