/* SPDX-License-Identifier: Apache-2.0
 *
 * policy: /v1/policy, and its init and reset: the preset.
 */
#include "base/own.h"
#include "daemon/api/api.h"
#include "daemon/field.h"
#include "daemon/rules.h"
#include "policy/preset.h"

/* An answer that waits. */
struct held {
	struct request *request;
	int status;
	json_t *body; /* owned */
};

static void on_settled(void *user, const struct err *err)
{
	struct held *h = user;

	if (err) {
		json_decref(h->body);
		request_fail(h->request, err);
	} else if (h->status == 204) {
		request_empty(h->request);
	} else {
		request_reply(h->request, h->status, h->body);
	}
	free(h);
}

void api_policy_settled(struct request *r, int status, json_t *body)
{
	struct held *h = calloc(1, sizeof(*h));
	struct err err;
	int e = h ? 0 : err_errno(&err, ENOMEM, "the request");

	if (h) {
		*h = (struct held){ r, status, body };
		e = rules_settle(r->daemon, on_settled, h, &err);
	}
	if (e == 0)
		return;
	if (e == 1) {
		on_settled(h, NULL);
		return;
	}
	free(h);
	json_decref(body);
	request_fail(r, &err);
}

/* What can be chosen, for a menu. */
static json_t *presets_json(void)
{
	json_t *list = json_array();
	struct err err;

	for (size_t i = 0; list && preset_name(i); i++) {
		auto_free char *label = NULL, *summary = NULL;

		if (preset_describe(preset_name(i), &label, &summary, &err) < 0 ||
		    json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "name", preset_name(i), "label", label,
							  "summary", summary)) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *state_json(const struct daemon *d)
{
	const struct policy *p = rules_policy(d);
	json_t *presets = presets_json();

	return presets ? json_pack("{s:b, s:s?, s:s, s:s, s:I, s:i, s:o}", "initialised", p->preset[0] != 0, "preset",
				   p->preset[0] ? p->preset : NULL, "default", rule_action_name(p->fallback), "tls",
				   rule_tls_name(p->tls), "generation", (json_int_t)p->generation, "rules", (int)p->rules.n,
				   "presets", presets)
		       : NULL;
}

void api_policy(struct request *r)
{
	request_reply(r, 200, state_json(r->daemon));
}

void api_policy_init(struct request *r)
{
	static const char *const keys[] = { "preset", NULL };
	const char *preset = NULL;
	struct err err;
	int e = field_only(r->body, "the request", keys, &err);

	if (e == 0)
		e = field_string(r->body, "preset", true, &preset, &err);
	if (e == 0)
		e = rules_init(r->daemon, preset, &err);
	if (e < 0)
		request_fail(r, &err);
	else
		api_policy_settled(r, 200, state_json(r->daemon));
}

void api_policy_reset(struct request *r)
{
	struct err err;

	if (!api_no_body(r))
		return;
	if (rules_reset(r->daemon, &err) < 0)
		request_fail(r, &err);
	else
		api_policy_settled(r, 200, state_json(r->daemon));
}
