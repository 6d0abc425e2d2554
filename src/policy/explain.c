/* SPDX-License-Identifier: Apache-2.0
 *
 * explain: see explain.h.
 */
#include "policy/explain.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define METHOD_SHOWN 64
#define PATH_SHOWN 256

/* "GET example.com:443/path", as much of it as there is. */
static void print_request(const struct policy_query *q, char *dst, size_t size)
{
	char host[DEST_PRINT_MAX], method[METHOD_SHOWN + 1] = "";
	const char *path = q->target && q->target->path ? q->target->path : "";

	dest_print(q->dest, host);
	if (q->method)
		str_escape(method, sizeof(method), q->method, strnlen(q->method, RULE_METHOD_MAX));
	(void)str_format(dst, size, "%s%s%s%.*s%s", method, method[0] ? " " : "", host, PATH_SHOWN, path,
		       strlen(path) > PATH_SHOWN ? "..." : "");
}

static void by_rule(const struct policy_query *q, const struct verdict *v, const char *what, char *dst)
{
	static const char *const says[] = { [RULE_DENY] = "denies", [RULE_ASK] = "asks about", [RULE_ALLOW] = "allows" };
	char resource[RULE_RESOURCE_MAX];
	const struct rule *r = v->rule;

	rule_print(r, resource);
	if (v->reason == POLICY_WEBSOCKET) {
		(void)str_format(dst, EXPLAIN_MAX, "%s: rule %s allows %s, but no WebSocket", what, r->id, resource);
		return;
	}
	(void)str_format(dst, EXPLAIN_MAX, "%s: rule %s %s %s%s%s%s%s%s%s%s%s", what, r->id, says[r->action], resource,
		       r->methods ? ", methods " : "", r->methods ? r->methods : "", r->path ? ", path " : "",
		       r->path ? r->path : "", r->expect ? ", expects " : "", r->expect ? rule_expect_name(r->expect) : "",
		       v->reason == POLICY_AMBIGUOUS ? ", and " : "",
		       v->reason != POLICY_AMBIGUOUS        ? ""
		       : q->target && q->target->fault ? target_fault_text(q->target->fault)
						      : "the path has two readings");
}

/* What a rule that almost matched has instead. */
static void by_near(const struct verdict *v, const char *what, char *dst)
{
	char resource[RULE_RESOURCE_MAX];
	const struct rule *r = v->near;

	rule_print(r, resource);
	switch (v->reason) {
	case POLICY_PORT:
		(void)str_format(dst, EXPLAIN_MAX, "no rule allows %s: %s is for another port", what, resource);
		break;
	case POLICY_METHOD:
		(void)str_format(dst, EXPLAIN_MAX, "no rule allows %s: %s is for %s only", what, resource, r->methods);
		break;
	case POLICY_PATH:
		(void)str_format(dst, EXPLAIN_MAX, "no rule allows %s: %s is for %s only", what, resource, r->path);
		break;
	case POLICY_EXPECT:
		(void)str_format(dst, EXPLAIN_MAX, "no rule allows %s: %s is for %s only", what, resource, rule_expect_name(r->expect));
		break;
	case POLICY_AMBIGUOUS:
		(void)str_format(dst, EXPLAIN_MAX, "no rule allows %s: the path has two readings, and %s is for %s only", what,
			       resource, r->path);
		break;
	default:
		(void)str_format(dst, EXPLAIN_MAX, "no rule allows %s: %s is for HTTP and TLS only", what, resource);
	}
}

static void by_address(const struct policy_query *q, const struct verdict *v, const char *what, char *dst)
{
	char address[ADDRESS_PRINT_MAX] = "";
	bool named = q->dest->kind == DEST_NAME && q->address;

	if (!v->address.name) {
		(void)str_format(dst, EXPLAIN_MAX, "%s is not on the internet (%s)", what, address_class_name(v->address.class));
		return;
	}
	if (named)
		address_print(&q->address->address, address);
	(void)str_format(dst, EXPLAIN_MAX, "%s%s%s is not on the internet: %s", what, named ? " at " : "", address,
		       v->address.class != ADDRESS_PUBLIC  ? v->address.name
		       : q->address && q->address->own     ? "an address of the host"
							   : "a neighbour of the host");
}

void explain_verdict(const struct policy_query *q, const struct verdict *v, char dst[EXPLAIN_MAX])
{
	char what[DEST_PRINT_MAX + METHOD_SHOWN + PATH_SHOWN + 16];

	print_request(q, what, sizeof(what));
	if (v->rule)
		by_rule(q, v, what, dst);
	else if (v->near)
		by_near(v, what, dst);
	else if (v->reason == POLICY_ADDRESS)
		by_address(q, v, what, dst);
	else if (v->reason == POLICY_SELF)
		(void)str_format(dst, EXPLAIN_MAX, "%s belongs to the sandbox itself", what);
	else if (v->reason == POLICY_LOCALHOST)
		(void)str_format(dst, EXPLAIN_MAX, "no rule allows localhost:%u, a service of the host", q->dest->port);
	else if (v->reason == POLICY_RAW_IP)
		(void)str_format(dst, EXPLAIN_MAX, "no rule allows %s: an address without a name", what);
	else if (v->reason == POLICY_TCP)
		(void)str_format(dst, EXPLAIN_MAX, "no rule allows raw TCP to %s", what);
	else if (v->action == RULE_DENY)
		(void)str_format(dst, EXPLAIN_MAX, "no rule allows %s", what);
	else
		(void)str_format(dst, EXPLAIN_MAX, "%s: %s by default", what, v->action == RULE_ASK ? "asked" : "allowed");
}

void explain_origin(const struct policy *p, const struct verdict *v, char dst[EXPLAIN_ORIGIN_MAX])
{
	if (v->rule)
		(void)str_format(dst, EXPLAIN_ORIGIN_MAX, "%s%s%s", rule_origin_name(v->rule->origin),
			       v->rule->source ? " " : "", v->rule->source ? v->rule->source : "");
	else if (str_starts(v->id, "default-"))
		(void)str_format(dst, EXPLAIN_ORIGIN_MAX, "%s%s", p->preset[0] ? "preset " : "default", p->preset);
	else
		(void)str_format(dst, EXPLAIN_ORIGIN_MAX, "builtin");
}

/* The quotes that s needs in a shell; it has none itself. */
static const char *quote(const char *s)
{
	return s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/-")] ? "'" : "";
}

/* What the rule would have to be about; false where no rule helps. */
static bool remedy_resource(const struct policy_query *q, const struct verdict *v, char *dst, size_t size)
{
	struct dest d = *q->dest;
	char text[DEST_PRINT_MAX];

	if (v->reason == POLICY_SELF)
		return false;
	if (v->reason == POLICY_LOCALHOST || v->address.class == ADDRESS_LOOPBACK) {
		(void)str_format(dst, size, "localhost:%u", d.port);
		return true;
	}
	if (v->reason == POLICY_ADDRESS) {
		if (!v->address.name || (v->address.embeds && !v->address.translated))
			return false;
		if (d.kind == DEST_NAME && q->address) {
			d.kind = q->address->address.bits == 32 ? DEST_V4 : DEST_V6;
			address_print(&q->address->address, d.host);
		}
	}
	dest_print(&d, text);
	(void)str_format(dst, size, "%s%s", d.scheme == DEST_TCP && d.kind == DEST_NAME ? "tcp " : "", text);
	return true;
}

void explain_remedy(const struct policy_query *q, const struct verdict *v, char dst[EXPLAIN_REMEDY_MAX])
{
	char resource[DEST_PRINT_MAX + 8], method[RULE_METHOD_MAX + 16] = "", scope[RULE_SANDBOX_MAX + 16] = "";
	const char *path = "";

	dst[0] = 0;
	if (v->action != RULE_DENY)
		return;
	if (v->rule) {
		(void)str_format(dst, EXPLAIN_REMEDY_MAX, "sbx policy rm network --id %s", v->rule->id);
		return;
	}
	if (!remedy_resource(q, v, resource, sizeof(resource)))
		return;
	/* Only what kept the request out is widened; a method that is none is not offered. */
	if ((v->reason == POLICY_METHOD || v->reason == POLICY_PATH) && q->method && quote(q->method)[0] == 0 &&
	    strlen(q->method) <= RULE_METHOD_MAX)
		(void)str_format(method, sizeof(method), " --method %s",
			       q->target && q->target->git_push ? "POST" : q->method);
	if (v->reason == POLICY_PATH && q->target->path && strlen(q->target->path) <= PATH_SHOWN)
		path = q->target->push_path ? q->target->push_path : q->target->path;
	if (strchr(path, '\''))
		path = ""; /* a guest does not get to end the quotes of a command that a person copies */
	if (q->sandbox && quote(q->sandbox)[0] == 0)
		(void)str_format(scope, sizeof(scope), " --sandbox %.*s", RULE_SANDBOX_MAX, q->sandbox);
	(void)str_format(dst, EXPLAIN_REMEDY_MAX, "sbx policy allow network %s%s%s%s%s%s%s%s%s", quote(resource), resource,
		       quote(resource), scope, method, path[0] ? " --path " : "", quote(path), path, quote(path));
}
