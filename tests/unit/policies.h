/* SPDX-License-Identifier: Apache-2.0
 *
 * policies: policies and questions in one line each, for the tests of src/policy.
 *
 *	struct policy *p = policy_of("allow GET,HEAD /v1/" "** ok.test:443\n"
 *				     "deny @box ok.test\n"     // of the sandbox "box" alone
 *				     "ask tls=splice ok.test\n"
 *				     "allow ws=no ok.test\n" "allow expect=ssh tcp ok.test:22\n"
 *				     "default allow\n" "range 10.8.0.0/16\n" "tls intercept\n");
 *	decide(p, &(struct asked){ .where = "https ok.test:443", .request = "GET /v1/x", .address = "own 93.184.216.34" }, &v);
 *
 * The n-th line that is a rule has the id "rN", counted from 1, unless it has one: "allow id=x ok.test".
 */
#ifndef SBX_TESTS_POLICIES_H
#define SBX_TESTS_POLICIES_H

#include "base/own.h"
#include "base/str.h"
#include "policy/policy.h"
#include "unit.h"

DEFINE_AUTO(rule, struct rule *, rule_done);

/* The next word of *at, which moves behind it; false at the end. */
static inline bool next_word(const char **at, char *dst, size_t size)
{
	size_t n;

	*at += strspn(*at, " ");
	n = strcspn(*at, " ");
	assert_true(n < size);
	(void)str_format(dst, size, "%.*s", (int)n, *at);
	*at += n;
	return n > 0;
}

/* Reads a rule; what is wrong with it comes back as a refusal. r is empty afterwards then. */
static inline int rule_of(const char *line, const char *id, struct rule *r, struct err *err)
{
	char action[16], word[400], methods[200] = "", path[400] = "", resource[400] = "";
	const char *at = line;
	int ret;

	*r = (struct rule){ .origin = RULE_USER };
	(void)str_format(r->id, sizeof(r->id), "%s", id);
	assert_true(next_word(&at, action, sizeof(action)) && rule_action_from_name(action, &r->action));
	while (next_word(&at, word, sizeof(word))) {
		if (word[0] == '@')
			assert_non_null(r->sandbox = strdup(word + 1));
		else if (word[0] == '/')
			(void)str_format(path, sizeof(path), "%s", word);
		else if (str_starts(word, "id="))
			(void)str_format(r->id, sizeof(r->id), "%s", word + 3);
		else if (str_starts(word, "tls="))
			assert_true(rule_tls_from_name(word + 4, &r->tls));
		else if (str_starts(word, "expect="))
			assert_true(rule_expect_from_name(word + 7, &r->expect));
		else if (str_eq(word, "ws=no"))
			r->no_websocket = true;
		else if (str_starts(word, "origin="))
			assert_true(rule_origin_from_name(word + 7, &r->origin));
		else if (word[0] >= 'A' && word[0] <= 'Z' && !strpbrk(word, ".:"))
			(void)str_format(methods, sizeof(methods), "%s", word);
		else
			(void)str_format(resource + strlen(resource), sizeof(resource) - strlen(resource), "%s%s",
					 resource[0] ? " " : "", word);
	}
	ret = rule_parse(resource, r, err);
	if (ret == 0)
		ret = rule_set_http(r, methods[0] ? methods : NULL, path[0] ? path : NULL, err);
	if (ret == 0)
		ret = rule_check(r, err);
	if (ret < 0)
		rule_done(r);
	return ret;
}

static inline void policy_line(struct policy *p, const char *line)
{
	struct err err = { 0 };
	struct cidr range;
	struct rule r;
	char id[24];

	if (str_starts(line, "default ")) {
		assert_true(rule_action_from_name(line + 8, &p->fallback));
	} else if (str_starts(line, "tls ")) {
		assert_true(rule_tls_from_name(line + 4, &p->tls));
	} else if (str_starts(line, "range ")) {
		assert_int_equal(cidr_parse(line + 6, strlen(line + 6), &range, NULL), 0);
		assert_int_equal(policy_permit_range(p, &range, NULL), 0);
	} else {
		(void)str_format(id, sizeof(id), "r%zu", p->rules.n + 1);
		if (rule_of(line, id, &r, &err) < 0 || policy_add(p, &r, &err) < 0)
			fail_msg("%s: %s", line, err.msg);
	}
}

/* One line per rule. */
static inline struct policy *policy_of(const char *text)
{
	struct policy *p = policy_new();

	assert_non_null(p);
	for (const char *at = text; *at;) {
		size_t n = strcspn(at, "\n");
		auto_free char *line = strndup(at, n);

		if (n > 0)
			policy_line(p, line);
		at += n + (at[n] == '\n');
	}
	return p;
}

/* A question. */
struct asked {
	const char *where;   /* "SCHEME HOST:PORT" */
	const char *request; /* "METHOD" or "METHOD /path", "WS" for a WebSocket's GET; NULL: a connection */
	const char *address; /* "[own |link ]ADDRESS"; NULL: not resolved */
	const char *sandbox;
};

static inline void dest_of(const char *where, struct dest *d)
{
	const char *host = strchr(where, ' ') + 1;
	enum dest_scheme scheme = str_starts(where, "https ") ? DEST_HTTPS : str_starts(where, "http ") ? DEST_HTTP : DEST_TCP;

	assert_int_equal(dest_parse_authority(host, strlen(host), 0, scheme, d), DEST_OK);
}

static inline void address_of(const char *text, struct policy_address *ret)
{
	struct cidr c;

	*ret = (struct policy_address){ .own = str_starts(text, "own "), .on_link = str_starts(text, "link ") };
	text += ret->own ? 4 : ret->on_link ? 5 : 0;
	assert_int_equal(cidr_parse(text, strlen(text), &c, NULL), 0);
	ret->address = c.net;
}

/* Calls `use` with the query that q describes. */
static inline void with_query(const struct asked *q, void (*use)(const struct policy_query *, void *), void *user)
{
	struct policy_query query = { .sandbox = q->sandbox };
	struct policy_address address;
	struct target target = { .path = NULL };
	struct dest dest;
	char method[64];

	dest_of(q->where, &dest);
	query.dest = &dest;
	if (q->request) {
		const char *path = strchr(q->request, ' ');

		(void)str_format(method, sizeof(method), "%.*s", (int)strcspn(q->request, " "), q->request);
		query.websocket = str_eq(method, "WS");
		query.method = query.websocket ? "GET" : method;
		if (path) {
			assert_int_equal(target_parse(path + 1, strlen(path + 1), &target), 0);
			query.target = &target;
		}
	}
	if (q->address) {
		address_of(q->address, &address);
		query.address = &address;
	}
	use(&query, user);
	target_done(&target);
}

struct decided {
	const struct policy *p;
	struct verdict *v;
};

static inline void decide_one(const struct policy_query *query, void *user)
{
	struct decided *d = user;

	policy_decide(d->p, query, d->v);
}

static inline void decide(const struct policy *p, const struct asked *q, struct verdict *ret)
{
	with_query(q, decide_one, &(struct decided){ p, ret });
}

/* "allow rule r1", "deny no_rule default-deny" */
static inline void say(const struct verdict *v, char *dst, size_t size)
{
	(void)str_format(dst, size, "%s %s %s", rule_action_name(v->action), policy_reason_name(v->reason), v->id);
}

#endif
