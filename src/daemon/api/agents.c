/* SPDX-License-Identifier: Apache-2.0
 *
 * agents: GET /v1/agents, GET /v1/agents/{name}, POST /v1/agents/{name}/layer.
 */
#include "base/own.h"
#include "daemon/agents.h"
#include "daemon/api/api.h"
#include "daemon/field.h"
#include "daemon/layer.h"
#include "daemon/template.h"

DEFINE_AUTO(json, json_t *, json_decref);

/* As docs/api.md shows it: the profile without what is written into the guest, and with its layer. */
static json_t *shown(const struct daemon *d, json_t *profile)
{
	json_t *layer = template_layer(d->dirs.cache, profile);

	(void)json_object_del(profile, "files");
	return json_object_set_new(profile, "layer", layer) < 0 ? NULL : profile;
}

void api_agents(struct request *r)
{
	auto_(json) json_t *o = NULL;
	struct err err;
	json_t *p;
	size_t i;

	if (agents_list(&r->daemon->dirs, &o, &err) < 0) {
		request_fail(r, &err);
		return;
	}
	json_array_foreach(json_object_get(o, "agents"), i, p)
		(void)shown(r->daemon, p);
	request_reply(r, 200, json_incref(o));
}

void api_agent(struct request *r)
{
	auto_(json) json_t *p = NULL;
	struct err err;

	if (agents_find(&r->daemon->dirs, r->name, &p, &err) < 0)
		request_fail(r, &err);
	else
		request_reply(r, 200, json_incref(shown(r->daemon, p)));
}

static void on_line(void *user, const json_t *line, bool last)
{
	if (last)
		request_end(user, line);
	else
		request_line(user, line);
}

void api_agent_layer(struct request *r)
{
	static const char *const keys[] = { "update", NULL };
	auto_(json) json_t *nothing = NULL;
	struct err err;
	bool update = false;
	int e = field_only(r->body, "the request", keys, &err);

	if (e == 0)
		e = field_bool(r->body, "update", false, &update, &err);
	if (e == 0)
		e = layer_join(r->daemon, r->name, update, on_line, r, &err);
	if (e < 0) {
		request_fail(r, &err);
		return;
	}
	request_stream(r);
	if (e == 0)
		return;
	nothing = json_pack("{s:s, s:b}", "agent", r->name, "built", 0);
	request_end(r, nothing);
}
