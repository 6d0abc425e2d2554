/* SPDX-License-Identifier: Apache-2.0
 *
 * templates: GET /v1/templates, POST /v1/templates/base.
 */
#include "daemon/api/api.h"
#include "daemon/build.h"
#include "daemon/template.h"

void api_template_list(struct request *r)
{
	struct err err;
	json_t *o;

	if (template_list(r->daemon->dirs.cache, &o, &err) < 0)
		request_fail(r, &err);
	else
		request_reply(r, 200, o);
}

static void on_line(void *user, const json_t *line, bool last)
{
	if (last)
		request_end(user, line);
	else
		request_line(user, line);
}

void api_template_ensure(struct request *r)
{
	struct err err;

	if (!api_no_body(r))
		return;
	if (build_join(r->daemon, on_line, r, &err) < 0)
		request_fail(r, &err);
	else
		request_stream(r);
}
