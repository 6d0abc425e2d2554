/* SPDX-License-Identifier: Apache-2.0
 *
 * snapshot: see snapshot.h.
 */
#include "policy/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"

DEFINE_AUTO(json, json_t *, json_decref);
DEFINE_AUTO(rule, struct rule *, rule_done);

static int refuse(struct err *err, const char *what, const char *key)
{
	char shown[64];

	str_escape(shown, sizeof(shown), key, strlen(key));
	return err_set(err, ERR_INVALID, EINVAL, "%s \"%s\"", what, shown);
}

static int check_keys(const json_t *in, const char *const *known, size_t n, struct err *err)
{
	const char *key;
	json_t *value;

	if (!json_is_object(in))
		return err_set(err, ERR_INVALID, EINVAL, "it is no JSON object");
	json_object_foreach((json_t *)in, key, value) {
		size_t i = 0;

		while (i < n && !str_eq(key, known[i]))
			i++;
		if (i == n)
			return refuse(err, "unknown key", key);
	}
	return 0;
}

/* A string member of at most max bytes of printable ASCII; NULL where it is absent. */
static int text_of(const json_t *in, const char *key, size_t max, const char **ret, struct err *err)
{
	const json_t *v = json_object_get(in, key);
	const char *s = json_string_value(v);

	*ret = NULL;
	if (!v)
		return 0;
	if (!s || !s[0] || strlen(s) > max)
		return refuse(err, "not a string of a length that is accepted:", key);
	for (const char *p = s; *p; p++)
		if (*p < 0x20 || *p > 0x7e)
			return refuse(err, "not printable ASCII:", key);
	*ret = s;
	return 0;
}

static int copy_of(const json_t *in, const char *key, size_t max, char **ret, struct err *err)
{
	const char *s;
	char *copy;
	int r = text_of(in, key, max, &s, err);

	if (r < 0 || !s)
		return r;
	copy = strdup(s);
	if (!copy)
		return err_errno(err, ENOMEM, "rule");
	free(*ret);
	*ret = copy;
	return 0;
}

static int read_resource(const json_t *in, struct rule *r, struct err *err)
{
	const char *s;
	int ret = text_of(in, "resource", RULE_RESOURCE_MAX - 1, &s, err);

	if (ret < 0)
		return ret;
	return s ? rule_parse(s, r, err) : refuse(err, "missing key", "resource");
}

/* Joins the methods; an array of none is an error, for it would mean every method. */
static int read_methods(const json_t *in, char dst[RULE_METHODS_MAX * (RULE_METHOD_MAX + 1)], struct err *err)
{
	const json_t *list = json_object_get(in, "methods");
	size_t at = 0, n = json_array_size(list);

	dst[0] = 0;
	if (!list)
		return 0;
	if (n == 0 || n > RULE_METHODS_MAX)
		return refuse(err, "not a list of methods:", "methods");
	for (size_t i = 0; i < n; i++) {
		const char *s = json_string_value(json_array_get(list, i));

		if (!s || !s[0] || strlen(s) > RULE_METHOD_MAX || strchr(s, ','))
			return refuse(err, "not a list of methods:", "methods");
		if (i > 0)
			dst[at++] = ',';
		memcpy(dst + at, s, strlen(s) + 1);
		at += strlen(s);
	}
	return 0;
}

static int read_http(const json_t *in, struct rule *r, struct err *err)
{
	char methods[RULE_METHODS_MAX * (RULE_METHOD_MAX + 1)];
	const char *path;
	int ret = read_methods(in, methods, err);

	if (ret == 0)
		ret = text_of(in, "path", TARGET_PATTERN_MAX, &path, err);
	if (ret == 0)
		ret = rule_set_http(r, methods[0] ? methods : NULL, path, err);
	return ret;
}

static int read_names(const json_t *in, struct rule *r, struct err *err)
{
	const char *action, *origin, *tls, *websocket, *expect;
	int ret = text_of(in, "action", 16, &action, err);

	if (ret == 0)
		ret = text_of(in, "origin", 16, &origin, err);
	if (ret == 0)
		ret = text_of(in, "tls", 16, &tls, err);
	if (ret == 0)
		ret = text_of(in, "websocket", 16, &websocket, err);
	if (ret == 0)
		ret = text_of(in, "expect", 16, &expect, err);
	if (ret < 0)
		return ret;
	if (action && !rule_action_from_name(action, &r->action))
		return refuse(err, "unknown action", action);
	if (origin && !rule_origin_from_name(origin, &r->origin))
		return refuse(err, "unknown origin", origin);
	if (tls && !rule_tls_from_name(tls, &r->tls))
		return refuse(err, "unknown tls mode", tls);
	if (websocket && !str_eq(websocket, "deny"))
		return refuse(err, "websocket is deny, or is not said, but not", websocket);
	if (expect && !rule_expect_from_name(expect, &r->expect))
		return refuse(err, "nothing is known of the expected bytes", expect);
	r->no_websocket = websocket != NULL;
	return 0;
}

static int read_rest(const json_t *in, struct rule *r, struct err *err)
{
	const json_t *exfiltration = json_object_get(in, "exfiltration");
	const char *id;
	int ret = text_of(in, "id", RULE_ID_MAX, &id, err);

	if (ret == 0)
		ret = copy_of(in, "sandbox", RULE_SANDBOX_MAX, &r->sandbox, err);
	if (ret == 0)
		ret = copy_of(in, "source", RULE_SOURCE_MAX, &r->source, err);
	if (ret < 0)
		return ret;
	if (exfiltration && !json_is_boolean(exfiltration))
		return refuse(err, "not true or false:", "exfiltration");
	if (exfiltration)
		r->exfiltration = json_is_true(exfiltration);
	return id ? str_format(r->id, sizeof(r->id), "%s", id) : 0;
}

int snapshot_rule_read(const json_t *in, struct rule *r, struct err *err)
{
	static const char *const keys[] = { "id",   "action", "resource", "methods", "path",
					    "tls",  "websocket", "expect", "exfiltration", "sandbox", "origin", "source" };
	int ret = check_keys(in, keys, ARRAY_LEN(keys), err);

	if (ret == 0)
		ret = read_names(in, r, err);
	if (ret == 0)
		ret = read_resource(in, r, err);
	if (ret < 0)
		return ret;
	ret = read_http(in, r, err);
	if (ret == 0)
		ret = read_rest(in, r, err);
	if (ret == 0)
		ret = rule_check(r, err);
	if (ret < 0)
		rule_done(r);
	return ret;
}

static json_t *methods_array(const char *methods)
{
	json_t *list = json_array();
	size_t n;

	for (const char *p = methods; list; p += n + 1) {
		n = strcspn(p, ",");
		if (json_array_append_new(list, json_stringn(p, n)) < 0) {
			json_decref(list);
			return NULL;
		}
		if (!p[n])
			break;
	}
	return list;
}

json_t *snapshot_rule_write(const struct rule *r)
{
	char resource[RULE_RESOURCE_MAX];
	json_t *out;

	rule_print(r, resource);
	/* "*": a value that is NULL leaves its key out. */
	out = json_pack("{ss ss ss so* ss* ss* ss* ss* so* ss* ss ss*}", "id", r->id, "action", rule_action_name(r->action), "resource",
			resource, "methods", r->methods ? methods_array(r->methods) : NULL, "path", r->path, "tls",
			r->tls ? rule_tls_name(r->tls) : NULL, "websocket", r->no_websocket ? "deny" : NULL, "expect",
			r->expect ? rule_expect_name(r->expect) : NULL, "exfiltration", r->exfiltration ? json_true() : NULL,
			"sandbox", r->sandbox, "origin", rule_origin_name(r->origin), "source", r->source);
	/* methods_array out of memory looks like no methods, which would be a wider rule. */
	if (out && r->methods && !json_object_get(out, "methods")) {
		json_decref(out);
		return NULL;
	}
	return out;
}

static int load_head(const json_t *in, struct policy *p, struct err *err)
{
	const json_t *schema = json_object_get(in, "schema"), *generation = json_object_get(in, "generation");
	const char *preset, *fallback, *tls;
	int r;

	if (!json_is_integer(schema) || json_integer_value(schema) != SNAPSHOT_SCHEMA)
		return refuse(err, "not a number that this program knows:", "schema");
	if (!json_is_integer(generation) || json_integer_value(generation) < 0)
		return refuse(err, "not a number that counts:", "generation");
	p->generation = (uint64_t)json_integer_value(generation);
	r = text_of(in, "preset", POLICY_PRESET_MAX, &preset, err);
	if (r == 0)
		r = text_of(in, "default", 16, &fallback, err);
	if (r == 0)
		r = text_of(in, "tls", 16, &tls, err);
	if (r < 0)
		return r;
	if (!fallback || !rule_action_from_name(fallback, &p->fallback))
		return refuse(err, "not allow, ask or deny:", "default");
	if (!tls || !rule_tls_from_name(tls, &p->tls) || p->tls == RULE_TLS_SPLICE)
		return refuse(err, "not auto or intercept:", "tls");
	return preset ? str_format(p->preset, sizeof(p->preset), "%s", preset) : 0;
}

static int load_ranges(const json_t *in, struct policy *p, struct err *err)
{
	const json_t *list = json_object_get(in, "permitted_ranges");

	if (list && !json_is_array(list))
		return refuse(err, "not a list:", "permitted_ranges");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *item = json_array_get(list, i);
		const char *s = json_string_value(item);
		struct cidr range;
		int r;

		if (!s)
			return refuse(err, "not a list of ranges:", "permitted_ranges");
		r = cidr_parse(s, json_string_length(item), &range, err);
		if (r == 0)
			r = policy_permit_range(p, &range, err);
		if (r < 0)
			return err_wrap(err, "permitted_ranges");
	}
	return 0;
}

static int load_rules(const json_t *in, struct policy *p, struct err *err)
{
	const json_t *list = json_object_get(in, "rules");

	if (!json_is_array(list))
		return refuse(err, "not a list:", "rules");
	if (json_array_size(list) > RULESET_MAX)
		return err_set(err, ERR_INVALID, EINVAL, "more than %d rules", RULESET_MAX);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *item = json_array_get(list, i);
		struct rule store = { .action = RULE_DENY };
		auto_(rule) struct rule *r = &store;
		int ret;

		if (!json_object_get(item, "id") || !json_object_get(item, "action") || !json_object_get(item, "origin"))
			return err_set(err, ERR_INVALID, EINVAL, "rule %zu has no id, no action or no origin", i + 1);
		ret = snapshot_rule_read(item, r, err);
		if (ret == 0)
			ret = policy_add(p, r, err);
		if (ret < 0)
			return err_wrap(err, "rule %zu", i + 1);
	}
	return 0;
}

int snapshot_load(const char *json, size_t n, struct policy **ret, struct err *err)
{
	static const char *const keys[] = { "schema", "generation", "preset", "default", "tls", "permitted_ranges", "rules" };
	auto_(json) json_t *root = NULL;
	auto_(policy) struct policy *p = NULL;
	json_error_t at;
	int r;

	if (n > SNAPSHOT_MAX_BYTES)
		return err_set(err, ERR_INVALID, EMSGSIZE, "policy: longer than %u bytes", SNAPSHOT_MAX_BYTES);
	root = json_loadb(json, n, JSON_REJECT_DUPLICATES, &at);
	if (!root)
		return err_set(err, ERR_INVALID, EINVAL, "policy: line %d, column %d: %s", at.line, at.column, at.text);
	p = policy_new();
	if (!p)
		return err_errno(err, ENOMEM, "policy");
	r = check_keys(root, keys, ARRAY_LEN(keys), err);
	if (r == 0)
		r = load_head(root, p, err);
	if (r == 0)
		r = load_ranges(root, p, err);
	if (r == 0)
		r = load_rules(root, p, err);
	if (r == 0)
		r = policy_check(p, err);
	if (r < 0)
		return err_wrap(err, "policy");
	*ret = TAKE_PTR(p);
	return 0;
}

/* Fills root with the policy; false on lack of memory. */
static bool dump_lists(const struct policy *p, json_t *root)
{
	json_t *ranges = json_object_get(root, "permitted_ranges"), *rules = json_object_get(root, "rules");
	char text[CIDR_PRINT_MAX];

	for (size_t i = 0; i < p->nranges; i++) {
		cidr_print(&p->ranges[i], text);
		if (json_array_append_new(ranges, json_string(text)) < 0)
			return false;
	}
	for (size_t i = 0; i < p->rules.n; i++)
		if (json_array_append_new(rules, snapshot_rule_write(&p->rules.rules[i])) < 0)
			return false;
	return true;
}

static int append(const char *bytes, size_t n, void *out)
{
	return buf_append(out, bytes, n);
}

int snapshot_dump(const struct policy *p, struct buf *out)
{
	auto_(json) json_t *root = json_pack("{si sI ss* ss ss s[] s[]}", "schema", SNAPSHOT_SCHEMA, "generation",
					     (json_int_t)p->generation, "preset", p->preset[0] ? p->preset : NULL,
					     "default", rule_action_name(p->fallback), "tls", rule_tls_name(p->tls),
					     "permitted_ranges", "rules");
	struct buf whole;
	int r;

	if (!root || !dump_lists(p, root))
		return -ENOMEM;
	/* Written aside, so that a policy that does not fit leaves nothing behind. */
	buf_init(&whole, SNAPSHOT_MAX_BYTES);
	r = json_dump_callback(root, append, &whole, JSON_COMPACT) < 0 ? -ENOMEM : 0;
	if (r == 0)
		r = buf_append(out, buf_bytes(&whole), buf_len(&whole));
	buf_done(&whole);
	return r;
}
