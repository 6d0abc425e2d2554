/* SPDX-License-Identifier: Apache-2.0
 *
 * version: GET /v1/version, POST /v1/shutdown: the daemon itself.
 */
#include <unistd.h>

#include "base/log.h"
#include "daemon/api/api.h"
#include "daemon/field.h"

bool api_no_body(struct request *r)
{
	static const char *const none[] = { NULL };
	struct err err;

	if (field_only(r->body, "the request", none, &err) == 0)
		return true;
	request_fail(r, &err);
	return false;
}

void api_version(struct request *r)
{
	request_reply(r, 200,
		      json_pack("{s:s, s:i, s:i, s:s}", "version", SBX_VERSION, "api", 1, "pid", (int)getpid(),
				"started_at", r->daemon->started_at));
}

void api_shutdown(struct request *r)
{
	struct daemon *d = r->daemon;

	if (!api_no_body(r))
		return;
	log_info("event=shutdown by=api");
	request_reply(r, 200, json_pack("{s:b}", "ok", 1));
	daemon_shutdown(d);
}
