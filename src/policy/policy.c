/* SPDX-License-Identifier: Apache-2.0
 *
 * policy: see policy.h. A query walks over the rules that concern it and keeps the best of each kind (scan); what is left is a
 * comparison of those few (conclude). "Best" is a total order, so that the order of the rules cannot show.
 */
#include "policy/policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* How a rule's HTTP part relates to the query. */
enum match {
	NO,
	MAYBE, /* the query is about a connection: some request may match */
	UNCLEAR, /* the path has two readings */
	YES,
};

/* What a walk over the rules has found so far. */
struct scan {
	const struct policy_query *q;
	const struct rule *deny;         /* the best that matches */
	const struct rule *deny_unclear; /* the best that may match an ambiguous path */
	const struct rule *open;         /* the best allow; for a connection also a conditional allow or ask */
	const struct rule *ask;
	const struct rule *near;
	enum policy_reason near_reason;
	const struct rule *named;        /* the longest allow for a range around the address */
	bool http, path;                 /* a rule with methods or path, with a path, could apply */
	bool intercept, splice;          /* marks of allows */
	bool ranges_deny_only;           /* the address is what a name resolved to: only denies are about the destination */
	unsigned int examined;
};

/* Names that are refused whatever the rules say: no server on the internet answers to them. */
static const struct {
	const char *name;
	bool below; /* and all below it */
	enum policy_reason reason;
	enum address_class class;
} builtin[] = {
	{ "localhost", true, POLICY_ADDRESS, ADDRESS_LOOPBACK },
	{ "localhost.localdomain", false, POLICY_ADDRESS, ADDRESS_LOOPBACK },
	{ "ip6-localhost", false, POLICY_ADDRESS, ADDRESS_LOOPBACK },
	{ "ip6-loopback", false, POLICY_ADDRESS, ADDRESS_LOOPBACK },
	{ "metadata.google.internal", true, POLICY_ADDRESS, ADDRESS_METADATA },
	{ "metadata.goog", true, POLICY_ADDRESS, ADDRESS_METADATA },
	{ "instance-data", false, POLICY_ADDRESS, ADDRESS_METADATA },
	{ "instance-data.ec2.internal", false, POLICY_ADDRESS, ADDRESS_METADATA },
	{ "docker.internal", true, POLICY_SELF, ADDRESS_PUBLIC },
};

struct policy *policy_new(void)
{
	struct policy *p = calloc(1, sizeof(*p));

	if (p)
		p->fallback = RULE_DENY;
	return p;
}

void policy_free(struct policy *p)
{
	if (!p)
		return;
	ruleset_done(&p->rules);
	free(p->ranges);
	free(p);
}

int policy_add(struct policy *p, struct rule *r, struct err *err)
{
	return ruleset_add(&p->rules, r, err);
}

int policy_permit_range(struct policy *p, const struct cidr *range, struct err *err)
{
	struct cidr *ranges;

	if (p->nranges >= POLICY_RANGES_MAX)
		return err_set(err, ERR_UNAVAILABLE, ENOSPC, "there are at most %d permitted ranges", POLICY_RANGES_MAX);
	ranges = realloc(p->ranges, (p->nranges + 1) * sizeof(*ranges));
	if (!ranges)
		return err_errno(err, ENOMEM, "permitted ranges");
	ranges[p->nranges++] = *range;
	p->ranges = ranges;
	return 0;
}

static bool is_host_name(const struct dest *d)
{
	return d->kind == DEST_NAME && str_eq(d->host, POLICY_HOST_NAME);
}

static bool is_for_sandbox(const struct rule *r, const char *sandbox)
{
	return !r->sandbox || (sandbox && str_eq(r->sandbox, sandbox));
}

/* Whether a is to be preferred to b, which may be NULL: narrower, else the smaller id. */
static bool better(const struct rule *a, const struct rule *b)
{
	unsigned int wa, wb;

	if (!b)
		return true;
	wa = rule_weight(a);
	wb = rule_weight(b);
	if (wa != wb)
		return wa > wb;
	return a->expect != b->expect ? a->expect < b->expect : strcmp(a->id, b->id) < 0;
}

static void keep_best(const struct rule **best, const struct rule *r)
{
	if (better(r, *best))
		*best = r;
}

static void keep_near(struct scan *s, const struct rule *r, enum policy_reason reason)
{
	if (r->action == RULE_DENY || reason < s->near_reason)
		return;
	if (reason > s->near_reason || better(r, s->near))
		s->near = r;
	s->near_reason = reason;
}

static enum match match_path(const struct rule *r, const struct target *t)
{
	if (!r->path)
		return YES;
	if (!t || !t->path)
		return UNCLEAR;
	if (target_match(r->path, t))
		return YES;
	return t->escaped_slash && !strstr(r->path, "%2F") ? UNCLEAR : NO;
}

static enum match match_http(struct scan *s, const struct rule *r)
{
	const struct policy_query *q = s->q;
	const char *method = q->target && q->target->git_push ? "POST" : q->method;
	enum match m;

	if (!rule_is_http(r))
		return YES;
	s->http = true;
	s->path |= r->path != NULL;
	/* Nobody sees requests inside raw TCP: there a refusal of some is a refusal of all. */
	if (q->dest->scheme == DEST_TCP && !q->any_port)
		return r->action == RULE_ALLOW ? NO : YES;
	if (!q->method)
		return MAYBE;
	if (!rule_has_method(r, method)) {
		keep_near(s, r, POLICY_METHOD);
		return NO;
	}
	m = match_path(r, q->target);
	if (m != YES)
		keep_near(s, r, m == UNCLEAR ? POLICY_AMBIGUOUS : POLICY_PATH);
	return m;
}

/* Whether the rule's port and protocol cover the query. */
static bool match_port(struct scan *s, const struct rule *r)
{
	bool opens = r->action != RULE_DENY;

	if (s->q->any_port)
		return opens || r->port == 0;
	if (r->port != 0 && r->port != s->q->dest->port) {
		keep_near(s, r, POLICY_PORT);
		return false;
	}
	if (s->q->dest->scheme != DEST_TCP && opens && r->expect) {
		keep_near(s, r, POLICY_EXPECT);
		return false;
	}
	if (s->q->dest->scheme == DEST_TCP && opens && !r->tcp && r->kind != RULE_RANGE && r->kind != RULE_LOCALHOST) {
		keep_near(s, r, POLICY_TCP);
		return false;
	}
	return true;
}

static void keep(struct scan *s, const struct rule *r, enum match m)
{
	if (r->action == RULE_DENY || (r->no_websocket && s->q->websocket)) {
		if (m == YES)
			keep_best(&s->deny, r);
		else if (m == UNCLEAR)
			keep_best(&s->deny_unclear, r);
		return;
	}
	if (r->action == RULE_ALLOW ? m == YES || m == MAYBE : m == MAYBE)
		keep_best(&s->open, r);
	if (r->action == RULE_ASK && (m == YES || m == UNCLEAR))
		keep_best(&s->ask, r);
	if (r->action == RULE_ALLOW) {
		s->intercept |= r->tls == RULE_TLS_INTERCEPT;
		s->splice |= r->tls == RULE_TLS_SPLICE;
	}
}

static void visit(void *user, const struct rule *r)
{
	struct scan *s = user;
	enum match m;

	s->examined++;
	if (!is_for_sandbox(r, s->q->sandbox))
		return;
	/* The host's own services are opened one by one, never along with everything. */
	if (r->kind == RULE_ANY && r->action != RULE_DENY && is_host_name(s->q->dest))
		return;
	if (r->kind == RULE_RANGE && s->ranges_deny_only && r->action != RULE_DENY) {
		if (r->action == RULE_ALLOW && (r->port == 0 || r->port == s->q->dest->port))
			keep_best(&s->named, r);
		return;
	}
	if (!match_port(s, r))
		return;
	if (r->kind == RULE_RANGE && r->action != RULE_DENY)
		keep_best(&s->named, r);
	m = match_http(s, r);
	if (m != NO)
		keep(s, r, m);
}

/* Whether a rule or the settings open an address that is not plainly public. */
static bool is_opened(const struct policy *p, const struct scan *s, const struct policy_address *at,
		      const struct address_info *info)
{
	bool exact = s->named && s->named->range.prefix == s->named->range.net.bits;
	struct address_info inner;

	if (exact)
		return true;
	if (at->own || !address_class_permittable(info->class) || (info->embeds && !info->translated))
		return false;
	if (info->embeds) {
		/* NAT64: opened together with what it leads to, or not at all. */
		address_classify(&info->inner, &inner);
		if (inner.class != ADDRESS_PUBLIC)
			return false;
	}
	if (s->named)
		return true;
	for (size_t i = 0; i < p->nranges; i++)
		if (cidr_contains(&p->ranges[i], &at->address))
			return true;
	return false;
}

static bool address_allowed(const struct policy *p, const struct scan *s, const struct policy_address *at,
			    struct verdict *v)
{
	address_classify(&at->address, &v->address);
	return (v->address.class == ADDRESS_PUBLIC && !at->own && !at->on_link) || is_opened(p, s, at, &v->address);
}

/* A conclusion without a rule. */
static void refuse(struct verdict *v, enum policy_reason reason, const char *id)
{
	v->action = RULE_DENY;
	v->reason = reason;
	v->id = id;
}

static void by_rule(struct verdict *v, const struct rule *r, enum policy_reason reason)
{
	v->action = r->action;
	v->expect = r->expect;
	v->reason = reason;
	v->rule = r;
	v->id = r->id;
	v->explicit = true;
}

/* A rule that refuses WebSocket alone denies as any other. */
static void by_deny(struct verdict *v, const struct scan *s)
{
	const struct rule *r = s->deny ? s->deny : s->deny_unclear;

	by_rule(v, r, r->action != RULE_DENY ? POLICY_WEBSOCKET : s->deny ? POLICY_BY_RULE : POLICY_AMBIGUOUS);
	v->action = RULE_DENY;
}

static void by_fallback(const struct policy *p, const struct scan *s, struct verdict *v)
{
	static const char *const ids[] = { [RULE_DENY] = "default-deny", [RULE_ASK] = "default-ask",
					   [RULE_ALLOW] = "default-allow" };
	const struct dest *d = s->q->dest;
	bool raw = d->scheme == DEST_TCP && !s->q->any_port;

	v->near = s->near;
	v->id = ids[p->fallback];
	v->action = p->fallback;
	v->reason = POLICY_BY_DEFAULT;
	if (p->fallback == RULE_DENY)
		v->reason = s->near ? s->near_reason : d->kind != DEST_NAME ? POLICY_RAW_IP : POLICY_NO_RULE;
	else if (raw)
		refuse(v, POLICY_TCP, ids[RULE_DENY]);
}

static void conclude(const struct policy *p, const struct scan *s, bool by_default, struct verdict *v)
{
	const struct rule *open = s->open;

	if (open && s->ask && rule_weight(s->ask) > rule_weight(open))
		open = NULL;
	if (open)
		by_rule(v, open, POLICY_BY_RULE);
	else if (s->ask)
		by_rule(v, s->ask, POLICY_BY_RULE);
	else if (by_default)
		by_fallback(p, s, v);
	else
		refuse(v, POLICY_LOCALHOST, "builtin");
	/* A connection may be made for the sake of requests that will be asked about. */
	if (open)
		v->action = RULE_ALLOW;
	v->path_matters = s->path;
	v->splice = s->splice && !s->http;
	v->needs_inspection = s->http || (s->q->dest->scheme == DEST_HTTPS && !v->splice &&
					  (s->intercept || p->tls == RULE_TLS_INTERCEPT));
}

static bool refuse_builtin(const struct dest *d, struct verdict *v)
{
	for (size_t i = 0; i < ARRAY_LEN(builtin); i++)
		if (builtin[i].below ? dest_is_within(d, builtin[i].name)
				     : d->kind == DEST_NAME && str_eq(d->host, builtin[i].name)) {
			refuse(v, builtin[i].reason, "builtin");
			v->address.class = builtin[i].class;
			return true;
		}
	return false;
}

/* 127.0.0.1 or ::1: where a service of the host is dialled. */
static bool is_host_loopback(const struct address *a)
{
	static const struct address v4 = { { 127, 0, 0, 1 }, 32 }, v6 = { { [15] = 1 }, 128 };

	return address_equal(a, &v4) || address_equal(a, &v6);
}

/* Walks over everything that concerns the query. */
static void look(const struct policy *p, struct scan *s, const struct policy_address *at)
{
	const struct dest *d = s->q->dest;
	struct address_info info;

	ruleset_each_any(&p->rules, visit, s);
	if (is_host_name(d))
		ruleset_each_localhost(&p->rules, visit, s);
	else if (d->kind == DEST_NAME)
		ruleset_each_name(&p->rules, d->host, visit, s);
	if (!at)
		return;
	s->ranges_deny_only = d->kind == DEST_NAME;
	ruleset_each_address(&p->rules, &at->address, visit, s);
	address_classify(&at->address, &info);
	s->ranges_deny_only = true;
	if (info.embeds) {
		const struct rule *named = s->named;

		/* What denies the inner address denies this one; what allows it does not allow this one. */
		ruleset_each_address(&p->rules, &info.inner, visit, s);
		s->named = named;
	}
}

void policy_decide(const struct policy *p, const struct policy_query *q, struct verdict *ret)
{
	struct policy_address literal = { .own = false };
	const struct policy_address *at = q->address;
	struct scan s = { .q = q };
	struct verdict v = { .action = RULE_DENY };
	bool host = is_host_name(q->dest);

	if (address_from_dest(q->dest, &literal.address)) {
		if (at && !address_equal(&at->address, &literal.address)) {
			refuse(&v, POLICY_ADDRESS, "builtin");
			*ret = v;
			return;
		}
		at = at ? at : &literal;
	}
	if (!host && refuse_builtin(q->dest, &v)) {
		*ret = v;
		return;
	}
	look(p, &s, at);
	v.examined = s.examined;
	if (s.deny || s.deny_unclear)
		by_deny(&v, &s);
	else if (at && !(host ? is_host_loopback(&at->address) : address_allowed(p, &s, at, &v)))
		refuse(&v, POLICY_ADDRESS, "builtin");
	else
		conclude(p, &s, !host, &v);
	*ret = v;
}

/* The part of a scan that policy_check looks at. */
struct clash {
	const struct rule *splice;
	const struct rule *found;
};

static void visit_clash(void *user, const struct rule *r)
{
	struct clash *c = user;
	const struct rule *s = c->splice;

	if (!rule_is_http(r) && r->tls != RULE_TLS_INTERCEPT)
		return;
	if ((r->port && s->port && r->port != s->port) || (r->sandbox && s->sandbox && !str_eq(r->sandbox, s->sandbox)))
		return;
	keep_best(&c->found, r);
}

int policy_check(const struct policy *p, struct err *err)
{
	char a[RULE_RESOURCE_MAX], b[RULE_RESOURCE_MAX];

	for (size_t i = 0; i < p->rules.n; i++) {
		struct clash c = { .splice = &p->rules.rules[i] };

		if (c.splice->tls != RULE_TLS_SPLICE)
			continue;
		ruleset_each_any(&p->rules, visit_clash, &c);
		ruleset_each_name(&p->rules, c.splice->host, visit_clash, &c);
		if (!c.found)
			continue;
		rule_print(c.splice, a);
		rule_print(c.found, b);
		return err_set(err, ERR_CONFLICT, EEXIST, "rule %s splices %s, but rule %s (%s) must see its requests",
			       c.splice->id, a, c.found->id, b);
	}
	return 0;
}

size_t policy_matching(const struct policy *p, const struct policy_query *q, const struct rule **ret, size_t max)
{
	struct address literal;
	const struct address *a = q->address ? &q->address->address : NULL;
	size_t count = 0;

	if (!a && address_from_dest(q->dest, &literal))
		a = &literal;
	for (size_t i = 0; i < p->rules.n; i++) {
		const struct rule *r = &p->rules.rules[i];

		if (!is_for_sandbox(r, q->sandbox))
			continue;
		if ((is_host_name(q->dest) && r->kind == RULE_LOCALHOST) || (a && rule_covers_address(r, a)) ||
		    (q->dest->kind == DEST_NAME && rule_covers_name(r, q->dest->host))) {
			if (count < max)
				ret[count] = r;
			count++;
		}
	}
	return count;
}

const char *policy_reason_name(enum policy_reason reason)
{
	static const char *const names[POLICY_REASONS] = {
		[POLICY_BY_RULE] = "rule",           [POLICY_BY_DEFAULT] = "default",
		[POLICY_NO_RULE] = "no_rule",        [POLICY_PORT] = "port",
		[POLICY_METHOD] = "method",          [POLICY_PATH] = "path",
		[POLICY_AMBIGUOUS] = "ambiguous_path", [POLICY_TCP] = "tcp",
		[POLICY_RAW_IP] = "raw_ip",          [POLICY_ADDRESS] = "address",
		[POLICY_SELF] = "self",              [POLICY_LOCALHOST] = "localhost",
		[POLICY_EXPECT] = "expect",          [POLICY_WEBSOCKET] = "websocket",
	};

	return (size_t)reason < ARRAY_LEN(names) ? names[reason] : "no_rule";
}
