/* SPDX-License-Identifier: Apache-2.0
 *
 * templates: GET /v1/templates, POST /v1/templates/base.
 */
#include "base/own.h"
#include "base/str.h"
#include "daemon/api/api.h"
#include "daemon/build.h"
#include "daemon/template.h"

DEFINE_AUTO(json, json_t *, json_decref);

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
	auto_(json) json_t *nothing = NULL;
	auto_free char *manifest = NULL;
	struct err err;
	int e;

	if (!api_no_body(r))
		return;
	e = build_join(r->daemon, on_line, r, &err);
	if (e < 0) {
		request_fail(r, &err);
		return;
	}
	request_stream(r);
	if (e == 0)
		return;
	manifest = str_new("%s/templates/" TEMPLATE_BASE ".json", r->daemon->dirs.cache);
	nothing = json_pack("{s:s*, s:b}", "manifest", manifest, "built", 0);
	request_end(r, nothing);
}
