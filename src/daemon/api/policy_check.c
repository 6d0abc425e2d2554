/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_check: /v1/policy/check and /v1/policy/explain: what the policy says about a destination, by the function that the proxy asks.
 * Nothing is resolved and nothing is dialled.
 */
#include <errno.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"
#include "daemon/api/api.h"
#include "daemon/field.h"
#include "daemon/rules.h"
#include "policy/explain.h"
#include "policy/idn.h"
#include "policy/snapshot.h"

#define MATCHING_MAX 100
#define AUTHORITY_MAX 320

/* A question while it is read. */
struct question {
	struct dest dest;
	struct target target; /* owned */
	struct policy_address address;
	struct policy_query query; /* points into the others */
	char path[TARGET_MAX + 1]; /* of a URL */
};

static void free_question(struct question **q)
{
	if (*q)
		target_done(&(*q)->target);
	free(*q);
}
#define auto_question __attribute__((cleanup(free_question)))

/* Takes the scheme off; *ret_known false: there was none. */
static const char *read_scheme(const char *s, enum dest_scheme *ret, bool *ret_known)
{
	static const struct {
		const char *prefix;
		enum dest_scheme scheme;
	} schemes[] = { { "https://", DEST_HTTPS }, { "http://", DEST_HTTP }, { "tcp://", DEST_TCP }, { "tcp ", DEST_TCP } };

	*ret = DEST_HTTPS;
	*ret_known = false;
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		if (str_starts(s, schemes[i].prefix)) {
			*ret = schemes[i].scheme;
			*ret_known = true;
			return s + strlen(schemes[i].prefix);
		}
	return s;
}

static int refuse(struct err *err, const char *target, const char *why)
{
	char shown[160];

	str_escape(shown, sizeof(shown), target, strnlen(target, AUTHORITY_MAX));
	return err_set(err, ERR_INVALID, EINVAL, "\"%s\": %s", shown, why);
}

/* "HOST", "HOST:PORT", an address, or a URL; its path goes to q->path. */
static int read_target(const char *text, struct question *q, struct err *err)
{
	enum dest_scheme scheme;
	bool known;
	const char *s = read_scheme(text, &scheme, &known);
	size_t n = strcspn(s, "/?#");
	char authority[AUTHORITY_MAX], ascii[RULE_RESOURCE_MAX];
	const char *colon = memchr(s, ':', n);
	bool bare = s[0] != '[' && colon && memchr(colon + 1, ':', (size_t)(s + n - colon) - 1);
	enum dest_refusal refusal;

	if ((s[n] && (!known || scheme == DEST_TCP)) || s[n] == '#')
		return refuse(err, text, "it is no host, HOST:PORT, address or URL (a path goes with https:// or --path)");
	if (s[n] && str_format(q->path, sizeof(q->path), "%s%s", s[n] == '?' ? "/" : "", s + n) < 0)
		return refuse(err, text, "the path is too long");
	if (str_format(authority, sizeof(authority), bare ? "[%.*s]" : "%.*s", (int)n, s) < 0)
		return refuse(err, text, "it is too long");
	if (idn_to_ascii(authority, ascii, err) < 0)
		return err_code(err);
	refusal = dest_parse_authority(ascii, strlen(ascii), scheme == DEST_TCP ? 0 : scheme == DEST_HTTP ? 80 : 443, scheme,
				       &q->dest);
	if (refusal != DEST_OK)
		return refuse(err, text, dest_refusal_text(refusal));
	if (!known && q->dest.port == 80)
		q->dest.scheme = DEST_HTTP;
	/* What a rule for localhost is about is called so in a sandbox. */
	if (str_eq(q->dest.host, "localhost"))
		(void)dest_make(POLICY_HOST_NAME, strlen(POLICY_HOST_NAME), q->dest.port, q->dest.scheme, &q->dest);
	return 0;
}

static int read_request(const json_t *body, struct question *q, struct err *err)
{
	const char *path = NULL, *method = NULL;
	int r = field_string(body, "path", false, &path, err);

	if (r == 0)
		r = field_string(body, "method", false, &method, err);
	if (r < 0)
		return r;
	r = field_bool(body, "websocket", false, &q->query.websocket, err);
	if (r < 0)
		return r;
	path = path ? path : q->path[0] ? q->path : NULL;
	if (!path && !method && !q->query.websocket)
		return 0;
	if (q->dest.scheme == DEST_TCP)
		return err_set(err, ERR_INVALID, EINVAL, "methods, paths and WebSocket are HTTP's: nobody sees them in raw TCP");
	if (q->query.websocket && method && !str_eq(method, "GET"))
		return err_set(err, ERR_INVALID, EINVAL, "a WebSocket begins with GET");
	q->query.method = method ? method : "GET";
	if (!path)
		path = "/";
	if (target_parse(path, strlen(path), &q->target) < 0)
		return err_errno(err, ENOMEM, "the request");
	q->query.target = &q->target;
	return 0;
}

static int read_rest(struct request *r, struct question *q, struct err *err)
{
	const char *sandbox = NULL, *address = NULL;
	struct sandbox *s = NULL;
	struct cidr c;
	int e = field_string(r->body, "sandbox", false, &sandbox, err);

	if (e == 0)
		e = field_string(r->body, "address", false, &address, err);
	if (e == 0 && sandbox && !(s = sandbox_find(r->daemon, sandbox, err)))
		e = -ENOENT;
	if (e < 0)
		return e;
	q->query.sandbox = s ? s->row.name : NULL;
	if (!address)
		return 0;
	if (cidr_parse(address, strlen(address), &c, err) < 0 || c.prefix != c.net.bits)
		return refuse(err, address, "it is no IP address");
	q->address.address = c.net;
	q->query.address = &q->address;
	return 0;
}

static int read_question(struct request *r, struct question *q, struct err *err)
{
	static const char *const keys[] = { "target", "sandbox", "method", "path", "websocket", "address", NULL };
	const char *target = NULL;
	int e = field_only(r->body, "the request", keys, err);

	if (e == 0)
		e = field_string(r->body, "target", true, &target, err);
	if (e == 0)
		e = read_target(target, q, err);
	q->query.dest = &q->dest;
	if (e == 0)
		e = read_request(r->body, q, err);
	if (e == 0)
		e = read_rest(r, q, err);
	return e == 0 ? rules_ready(r->daemon, err) : e;
}

/* What a connection would get that speaks neither HTTP nor TLS. */
static const char *raw_action(const struct policy *p, const struct question *q)
{
	struct policy_query query = { .sandbox = q->query.sandbox, .address = q->query.address };
	struct dest d = q->dest;
	struct verdict v;

	d.scheme = DEST_TCP;
	query.dest = &d;
	policy_decide(p, &query, &v);
	return rule_action_name(v.action);
}

static json_t *answer_json(const struct policy *p, const struct question *q)
{
	char target[DEST_PRINT_MAX], why[EXPLAIN_MAX], origin[EXPLAIN_ORIGIN_MAX], remedy[EXPLAIN_REMEDY_MAX];
	struct verdict v;

	policy_decide(p, &q->query, &v);
	dest_print(&q->dest, target);
	explain_verdict(&q->query, &v, why);
	explain_origin(p, &v, origin);
	explain_remedy(&q->query, &v, remedy);
	return json_pack("{s:s, s:s, s:b, s:s, s:b, s:s, s:s, s:s, s:s, s:s*, s:b, s:b, s:s*, s:b, s:s*, s:I}", "target", target,
			 "scheme", dest_scheme_name(q->dest.scheme), "allowed", v.action == RULE_ALLOW, "action",
			 rule_action_name(v.action), "explicit", v.explicit, "reason", policy_reason_name(v.reason), "rule",
			 v.id, "origin", origin, "explanation", why, "remedy", remedy[0] ? remedy : NULL, "needs_inspection",
			 v.needs_inspection, "splice", v.splice, "expect", v.expect ? rule_expect_name(v.expect) : NULL, "exfiltration", v.rule && v.rule->exfiltration, "raw_tcp",
			 q->dest.scheme != DEST_TCP ? raw_action(p, q) : NULL, "generation", (json_int_t)p->generation);
}

static json_t *matching_json(const struct policy *p, const struct question *q)
{
	const struct rule *list[MATCHING_MAX];
	size_t n = policy_matching(p, &q->query, list, MATCHING_MAX);
	json_t *out = json_array();

	for (size_t i = 0; out && i < n && i < MATCHING_MAX; i++)
		if (json_array_append_new(out, snapshot_rule_write(list[i])) < 0) {
			json_decref(out);
			out = NULL;
		}
	return out;
}

static void answer(struct request *r, bool explain)
{
	auto_question struct question *q = calloc(1, sizeof(*q));
	const struct policy *p = rules_policy(r->daemon);
	struct err err;
	json_t *out;

	if ((q ? read_question(r, q, &err) : err_errno(&err, ENOMEM, "the request")) < 0) {
		request_fail(r, &err);
		return;
	}
	out = answer_json(p, q);
	if (out && explain && json_object_set_new(out, "matching", matching_json(p, q)) < 0) {
		json_decref(out);
		out = NULL;
	}
	request_reply(r, 200, out);
}

void api_policy_check(struct request *r)
{
	answer(r, false);
}

void api_policy_explain(struct request *r)
{
	answer(r, true);
}
