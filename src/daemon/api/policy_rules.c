/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_rules: /v1/policy/rules: list, add, remove. A rule is an object as in a snapshot (policy/snapshot.h), with the time at which
 * the user added it.
 */
#include <errno.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"
#include "daemon/api/api.h"
#include "daemon/field.h"
#include "daemon/rules.h"
#include "policy/idn.h"
#include "policy/snapshot.h"

/* Rules that somebody wrote, while they are read. */
struct batch {
	struct rule rules[RULES_ONCE_MAX];
	struct rules_added added[RULES_ONCE_MAX];
	size_t n;
};

static void free_batch(struct batch **b)
{
	for (size_t i = 0; *b && i < (*b)->n; i++)
		rule_done(&(*b)->rules[i]);
	free(*b);
}
#define auto_batch __attribute__((cleanup(free_batch)))

static json_t *rule_json(const struct daemon *d, const struct rule *r)
{
	const char *at = rules_created_at(d, r->id);
	json_t *o = snapshot_rule_write(r);

	if (o && at[0] && json_object_set_new(o, "created_at", json_string(at)) < 0) {
		json_decref(o);
		return NULL;
	}
	return o;
}

void api_rules(struct request *r)
{
	const struct policy *p = rules_policy(r->daemon);
	json_t *list = json_array();

	for (size_t i = 0; list && i < p->rules.n; i++)
		if (json_array_append_new(list, rule_json(r->daemon, &p->rules.rules[i])) < 0) {
			json_decref(list);
			list = NULL;
		}
	request_reply(r, 200, list ? json_pack("{s:o}", "rules", list) : NULL);
}

/* One resource with what the request says of all of them. */
static int read_one(const json_t *body, const char *resource, const char *sandbox, struct rule *r, struct err *err)
{
	static const char *const shared[] = { "action", "methods", "path", "tls", "websocket", "expect" };
	char ascii[RULE_RESOURCE_MAX];
	json_t *in;
	int ret = idn_to_ascii(resource, ascii, err);

	if (ret < 0)
		return ret;
	in = json_pack("{s:s, s:s*}", "resource", ascii, "sandbox", sandbox);
	for (size_t i = 0; in && i < ARRAY_LEN(shared); i++)
		if (json_object_get(body, shared[i]))
			(void)json_object_set(in, shared[i], json_object_get(body, shared[i]));
	*r = (struct rule){ .origin = RULE_USER };
	ret = in ? snapshot_rule_read(in, r, err) : err_errno(err, ENOMEM, "the request");
	json_decref(in);
	return ret;
}

/* The name of the sandbox that the body names by name or id; NULL: all of them. */
static int read_sandbox(struct request *r, const char **ret, struct err *err)
{
	const char *name = NULL;
	struct sandbox *s;
	int e = field_string(r->body, "sandbox", false, &name, err);

	if (e < 0 || !name)
		return e;
	s = sandbox_find(r->daemon, name, err);
	*ret = s ? s->row.name : NULL;
	return s ? 0 : -ENOENT;
}

static int read_batch(struct request *r, struct batch *b, struct err *err)
{
	static const char *const keys[] = { "action", "resources", "methods",  "path", "tls",
					    "websocket", "expect", "sandbox", NULL };
	const json_t *list = json_object_get(r->body, "resources");
	const char *action = NULL, *sandbox = NULL;
	int e = field_only(r->body, "the request", keys, err);

	if (e == 0)
		e = field_string(r->body, "action", true, &action, err);
	if (e == 0)
		e = read_sandbox(r, &sandbox, err);
	if (e == 0 && (json_array_size(list) == 0 || json_array_size(list) > RULES_ONCE_MAX))
		e = err_set(err, ERR_INVALID, EINVAL, "\"resources\" must list 1 to %d resources", RULES_ONCE_MAX);
	for (size_t i = 0; e == 0 && i < json_array_size(list); i++) {
		const char *resource = json_string_value(json_array_get(list, i));

		if (!resource)
			return err_set(err, ERR_INVALID, EINVAL, "\"resources\" must list strings");
		e = read_one(r->body, resource, sandbox, &b->rules[b->n], err);
		b->n += e == 0;
	}
	return e;
}

/* A deny that keeps an allow of one name from doing anything; NULL: none. */
static const struct rule *denies(const struct policy *p, const struct rule *r)
{
	struct policy_query q = { .sandbox = r->sandbox };
	struct verdict v;
	struct dest d;

	if (r->action == RULE_DENY || r->kind != RULE_NAME || rule_is_http(r))
		return NULL;
	if (dest_make(r->host, strlen(r->host), r->port ? r->port : 443, r->tcp ? DEST_TCP : DEST_HTTPS, &d) != DEST_OK)
		return NULL;
	q.dest = &d;
	policy_decide(p, &q, &v);
	return v.action == RULE_DENY ? v.rule : NULL;
}

static json_t *added_json(const struct daemon *d, const struct batch *b)
{
	const struct policy *p = rules_policy(d);
	json_t *list = json_array();

	for (size_t i = 0; list && i < b->n; i++) {
		const struct rules_added *a = &b->added[i];
		const struct rule *rule = ruleset_find(&p->rules, a->id), *deny = rule ? denies(p, rule) : NULL;
		json_t *o = rule ? json_pack("{s:o, s:b, s:s*, s:s*}", "rule", rule_json(d, rule), "existed", a->existed,
					     "replaced", a->replaced[0] ? a->replaced : NULL, "denied_by",
					     deny ? deny->id : NULL)
				 : NULL;

		if (json_array_append_new(list, o) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list ? json_pack("{s:o, s:I}", "rules", list, "generation", (json_int_t)p->generation) : NULL;
}

void api_rules_add(struct request *r)
{
	auto_batch struct batch *b = calloc(1, sizeof(*b));
	struct err err;
	int e = b ? read_batch(r, b, &err) : err_errno(&err, ENOMEM, "the request");

	if (e == 0)
		e = rules_add(r->daemon, b->rules, b->n, b->added, &err);
	if (e < 0)
		request_fail(r, &err);
	else
		api_policy_settled(r, 201, added_json(r->daemon, b));
}

void api_rule_delete(struct request *r)
{
	const char *const ids[] = { r->name };
	struct err err;

	if (rules_remove(r->daemon, ids, 1, &err) < 0)
		request_fail(r, &err);
	else
		api_policy_settled(r, 204, NULL);
}

/* --- removal of several, by id or by resource --- */

struct removal {
	const char *ids[RULES_ONCE_MAX];
	size_t n;
};

static int take(struct removal *x, const char *id, struct err *err)
{
	if (x->n == RULES_ONCE_MAX)
		return err_set(err, ERR_INVALID, E2BIG, "at most %d rules can be removed at once", RULES_ONCE_MAX);
	x->ids[x->n++] = id;
	return 0;
}

/* Every rule of that scope with this resource, whatever its methods, path and action. */
static int take_resource(struct request *r, const char *resource, const char *sandbox, struct removal *x, struct err *err)
{
	const struct policy *p = rules_policy(r->daemon);
	struct rule want = { .action = RULE_DENY };
	char ascii[RULE_RESOURCE_MAX], wanted[RULE_RESOURCE_MAX], has[RULE_RESOURCE_MAX];
	size_t before = x->n;
	int e = idn_to_ascii(resource, ascii, err);

	if (e == 0)
		e = rule_parse(ascii, &want, err);
	if (e < 0)
		return e;
	rule_print(&want, wanted);
	rule_done(&want);
	for (size_t i = 0; i < p->rules.n && e == 0; i++) {
		const struct rule *rule = &p->rules.rules[i];

		rule_print(rule, has);
		if (str_eq(has, wanted) && (sandbox ? rule->sandbox && str_eq(rule->sandbox, sandbox) : !rule->sandbox))
			e = take(x, rule->id, err);
	}
	if (e == 0 && x->n == before)
		e = err_set(err, ERR_NOT_FOUND, ENOENT, "there is no rule for %s%s%s%s", wanted, sandbox ? " in sandbox '" : "",
			    sandbox ? sandbox : "", sandbox ? "'" : "");
	return e;
}

static int read_removal(struct request *r, struct removal *x, struct err *err)
{
	static const char *const keys[] = { "ids", "resources", "sandbox", NULL };
	const json_t *ids = json_object_get(r->body, "ids"), *resources = json_object_get(r->body, "resources");
	const char *sandbox = NULL;
	int e = field_only(r->body, "the request", keys, err);

	if (e == 0)
		e = read_sandbox(r, &sandbox, err);
	if (e == 0 && json_array_size(ids) + json_array_size(resources) == 0)
		e = err_set(err, ERR_INVALID, EINVAL, "\"ids\" or \"resources\" must list what is to be removed");
	for (size_t i = 0; e == 0 && i < json_array_size(ids); i++) {
		const char *id = json_string_value(json_array_get(ids, i));

		e = id ? take(x, id, err) : err_set(err, ERR_INVALID, EINVAL, "\"ids\" must list strings");
	}
	for (size_t i = 0; e == 0 && i < json_array_size(resources); i++) {
		const char *s = json_string_value(json_array_get(resources, i));

		e = s ? take_resource(r, s, sandbox, x, err)
		      : err_set(err, ERR_INVALID, EINVAL, "\"resources\" must list strings");
	}
	return e;
}

void api_rules_remove(struct request *r)
{
	struct removal x = { .n = 0 };
	struct err err;
	json_t *gone = NULL;
	int e = read_removal(r, &x, &err);

	if (e == 0) {
		/* Before the removal: ids of rules are borrowed from the policy. */
		gone = json_array();
		for (size_t i = 0; i < x.n; i++) {
			const struct rule *rule = ruleset_find(&rules_policy(r->daemon)->rules, x.ids[i]);

			if (rule)
				(void)json_array_append_new(gone, snapshot_rule_write(rule));
		}
		e = rules_remove(r->daemon, x.ids, x.n, &err);
	}
	if (e == 0) {
		api_policy_settled(r, 200, json_pack("{s:o}", "removed", gone));
		return;
	}
	json_decref(gone);
	request_fail(r, &err);
}
