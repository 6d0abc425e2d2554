/* SPDX-License-Identifier: Apache-2.0
 *
 * rule: see rule.h. Enters: text of a person, a preset or the daemon. Leaves: a rule whose names went through dest_make and
 * whose ranges went through cidr_parse, so that it meets what the guest says in one form only.
 */
#include "policy/rule.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"

/* The shortest prefixes that an allow may have. */
#define PREFIX_MIN_V4 8
#define PREFIX_MIN_V6 16

/* A resource cut into its parts; all point into one text. */
struct parts {
	const char *host;
	size_t host_n;
	const char *port; /* NULL: none */
	size_t port_n;
};

static int refuse(struct err *err, const char *resource, const char *why)
{
	char shown[160];

	str_escape(shown, sizeof(shown), resource, strnlen(resource, RULE_RESOURCE_MAX));
	return err_set(err, ERR_INVALID, EINVAL, "\"%s\": %s", shown, why);
}

/* Splits at the port. More than one colon without brackets is an IPv6 address or range alone. */
static const char *split(const char *s, struct parts *ret)
{
	const char *colon = strchr(s, ':'), *close;

	*ret = (struct parts){ s, strlen(s), NULL, 0 };
	if (s[0] == '[') {
		close = strchr(s, ']');
		if (!close || (close[1] && close[1] != ':'))
			return "an IPv6 address with a port is written [address]:port";
		ret->host = s + 1;
		ret->host_n = (size_t)(close - s) - 1;
		if (!memchr(ret->host, ':', ret->host_n))
			return dest_refusal_text(DEST_BRACKETS);
		ret->port = close[1] ? close + 2 : NULL;
	} else if (colon && !strchr(colon + 1, ':')) {
		ret->host_n = (size_t)(colon - s);
		ret->port = colon + 1;
	}
	ret->port_n = ret->port ? strlen(ret->port) : 0;
	return NULL;
}

/* Mistakes that deserve a better answer than "no host name has that byte". */
static const char *common_mistake(const char *s)
{
	if (strstr(s, "://"))
		return "write the host alone, without a scheme";
	if (strchr(s, ','))
		return "one rule is for one resource";
	if (str_eq(s, "*"))
		return "* stands for one label, as in *.example.com";
	return NULL;
}

static const char *parse_range(const struct parts *at, struct rule *r)
{
	struct address_info info;

	if (cidr_parse(at->host, at->host_n, &r->range, NULL) < 0)
		return "it is no host, address or range (a range has no bits behind its prefix; for paths see --path)";
	r->kind = RULE_RANGE;
	address_classify(&r->range.net, &info);
	if (r->range.prefix == r->range.net.bits && info.embeds && !info.translated)
		return "an IPv6 address that carries an IPv4 address is never dialled: write the IPv4 address";
	return NULL;
}

static const char *parse_name(const struct parts *at, struct rule *r)
{
	const char *s = at->host;
	size_t n = at->host_n;
	enum dest_refusal refusal;
	struct dest d;

	r->kind = RULE_NAME;
	if (n >= 3 && memcmp(s, "**.", 3) == 0)
		r->kind = RULE_DEEP;
	else if (n >= 2 && memcmp(s, "*.", 2) == 0)
		r->kind = RULE_BELOW;
	s += r->kind == RULE_DEEP ? 3 : r->kind == RULE_BELOW ? 2 : 0;
	n -= (size_t)(s - at->host);
	if (memchr(s, '*', n))
		return "a wildcard stands at the beginning only: *.host is one label below host, **.host any number";
	refusal = dest_make(s, n, 1, DEST_TCP, &d);
	if (refusal != DEST_OK)
		return dest_refusal_text(refusal);
	if (d.kind != DEST_NAME)
		return r->kind == RULE_NAME ? parse_range(at, r) : "an address has no wildcard";
	if (str_eq(d.host, "localhost")) {
		r->kind = r->kind == RULE_NAME ? RULE_LOCALHOST : r->kind;
		return r->kind != RULE_LOCALHOST ? "names below localhost do not exist" :
		       !at->port                 ? "write localhost:PORT, a service of the host's loopback" :
						   NULL;
	}
	if (dest_is_within(&d, "docker.internal"))
		return "names below docker.internal are the sandbox's own; a service of the host is allowed as localhost:PORT";
	r->host = strdup(d.host);
	return NULL;
}

static const char *parse_resource(const char *s, struct rule *r)
{
	struct parts at;
	const char *why = common_mistake(s);

	why = why ? why : split(s, &at);
	if (why)
		return why;
	if (at.host_n == 2 && memcmp(at.host, "**", 2) == 0)
		r->kind = RULE_ANY;
	else if (memchr(at.host, '/', at.host_n) || memchr(at.host, ':', at.host_n))
		why = parse_range(&at, r);
	else
		why = parse_name(&at, r);
	if (!why && at.port && dest_parse_port(at.port, at.port_n, &r->port) != DEST_OK)
		why = dest_refusal_text(DEST_PORT);
	return why;
}

int rule_parse(const char *resource, struct rule *r, struct err *err)
{
	struct rule made = *r;
	const char *s = resource, *why;

	made.host = NULL;
	made.port = 0;
	if (strlen(resource) >= RULE_RESOURCE_MAX)
		return refuse(err, resource, "it is too long");
	made.tcp = str_starts(s, "tcp ");
	if (made.tcp)
		s += strspn(s + 4, " ") + 4;
	why = parse_resource(s, &made);
	if (why) {
		free(made.host);
		return refuse(err, resource, why);
	}
	if ((made.kind == RULE_NAME || made.kind == RULE_BELOW || made.kind == RULE_DEEP) && !made.host)
		return err_errno(err, ENOMEM, "rule");
	/* Rules for addresses and for localhost are for any bytes already. */
	if (made.kind == RULE_RANGE || made.kind == RULE_LOCALHOST)
		made.tcp = false;
	*r = made;
	return 0;
}

static int compare_methods(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Cuts a list in place into names in upper case; how many, or 0 where it is malformed. */
static size_t cut_methods(char *s, const char *names[RULE_METHODS_MAX])
{
	size_t count = 0, n;

	for (;; s += n + 1) {
		bool last;

		n = strcspn(s, ",");
		last = s[n] == 0;
		if (n == 0 || n > RULE_METHOD_MAX || count == RULE_METHODS_MAX)
			return 0;
		for (size_t i = 0; i < n; i++) {
			if (s[i] >= 'a' && s[i] <= 'z')
				s[i] = (char)(s[i] & ~0x20);
			if (!((s[i] >= 'A' && s[i] <= 'Z') || (i > 0 && ((s[i] >= '0' && s[i] <= '9') || s[i] == '-' || s[i] == '_'))))
				return 0;
		}
		s[n] = 0;
		names[count++] = s;
		if (last)
			return count;
	}
}

/* The canonical list: sorted, none twice; *ret stays NULL for "ANY". */
static int parse_methods(const char *methods, char **ret, struct err *err)
{
	const char *names[RULE_METHODS_MAX];
	auto_free char *copy = strdup(methods), *list = NULL;
	size_t count;

	if (!copy)
		return err_errno(err, ENOMEM, "rule");
	count = cut_methods(copy, names);
	if (count == 0)
		return refuse(err, methods, "it is no list of HTTP methods like GET,HEAD");
	if (count == 1 && str_eq(names[0], "ANY"))
		return 0;
	qsort(names, count, sizeof(names[0]), compare_methods);
	list = calloc(1, strlen(methods) + 2);
	if (!list)
		return err_errno(err, ENOMEM, "rule");
	for (size_t i = 0, at = 0; i < count; i++) {
		if (str_eq(names[i], "ANY"))
			return refuse(err, methods, "ANY stands alone");
		if (i > 0 && str_eq(names[i], names[i - 1]))
			continue;
		if (at > 0)
			list[at++] = ',';
		memcpy(list + at, names[i], strlen(names[i]));
		at += strlen(names[i]);
	}
	*ret = TAKE_PTR(list);
	return 0;
}

int rule_set_http(struct rule *r, const char *methods, const char *path, struct err *err)
{
	auto_free char *list = NULL, *pattern = NULL;
	int ret = methods ? parse_methods(methods, &list, err) : 0;

	if (ret < 0)
		return ret;
	/* Every path is no condition: without one, nothing needs to be looked into. */
	ret = path ? target_pattern(path, &pattern, err) : 0;
	if (ret < 0)
		return ret;
	if (pattern && str_eq(pattern, "/**")) {
		free(pattern);
		pattern = NULL;
	}
	free(r->methods);
	free(r->path);
	r->methods = TAKE_PTR(list);
	r->path = TAKE_PTR(pattern);
	return 0;
}

bool rule_is_suffix(const char *host)
{
	/* What registries of countries sell names below. Not the whole Public Suffix List: it guards against a slip. */
	static const char *const second[] = { "ac",  "asn", "co", "com", "edu", "firm", "gen", "go",  "gob", "gouv",
					      "gov", "gub", "gv", "ind", "ltd", "me",   "mil", "ne",  "net", "nhs",
					      "nom", "or",  "org", "plc", "sch", "school" };
	const char *dot = strchr(host, '.');

	if (!dot)
		return true;
	if (strchr(dot + 1, '.') || strlen(dot + 1) != 2)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(second); i++)
		if (strlen(second[i]) == (size_t)(dot - host) && memcmp(second[i], host, strlen(second[i])) == 0)
			return true;
	return false;
}

static const char *check_width(const struct rule *r)
{
	if (r->action == RULE_DENY || r->origin == RULE_PRESET)
		return NULL;
	if (r->kind == RULE_ANY)
		return "this would open everything: choose the preset open instead (sbx policy init open)";
	if ((r->kind == RULE_BELOW || r->kind == RULE_DEEP) && rule_is_suffix(r->host))
		return "this would open every domain that anybody registers there";
	if (r->kind == RULE_RANGE && r->range.prefix < (r->range.net.bits == 32 ? PREFIX_MIN_V4 : PREFIX_MIN_V6))
		return "the range is too wide to be opened (at least /8, IPv6 /16)";
	return NULL;
}

static const char *check_origin(const struct rule *r)
{
	if (r->origin == RULE_REPOSITORY && r->action != RULE_DENY)
		return "a file of the repository can only deny";
	if (r->origin == RULE_AGENT && r->action != RULE_DENY && !r->host)
		return "an agent can only ask for names, not for addresses or services of the host";
	return NULL;
}

static const char *check_parts(const struct rule *r)
{
	if (rule_is_http(r) && (r->tcp || r->kind == RULE_RANGE))
		return "methods, paths and WebSocket need a host name and HTTP";
	if (r->no_websocket && r->action == RULE_DENY)
		return "what is denied has no WebSocket: refuse it where the host is allowed";
	if (r->expect && (r->action == RULE_DENY || rule_is_http(r) || (r->host && !r->tcp) || r->kind == RULE_ANY || r->port == 0))
		return "what is expected can be said only where any bytes are allowed to one port, as in tcp example.com:22";
	if (r->tcp && r->action == RULE_DENY)
		return "raw TCP is refused unless a rule allows it: deny the host instead";
	if (r->tcp && (r->port == 0 || r->kind == RULE_ANY))
		return "raw TCP needs a host and a port, as in tcp example.com:22";
	if (r->kind == RULE_LOCALHOST && r->port == 0)
		return "write localhost:PORT, a service of the host's loopback";
	if (r->tls != RULE_TLS_AUTO && (r->action == RULE_DENY || !r->host || r->tcp))
		return "how TLS is treated can be said only where HTTPS to a name is allowed";
	if (r->tls == RULE_TLS_SPLICE && (r->kind != RULE_NAME || rule_is_http(r)))
		return "splicing needs one exact name, without methods, paths and WebSocket";
	return NULL;
}

int rule_check(const struct rule *r, struct err *err)
{
	char text[RULE_RESOURCE_MAX];
	const char *why = check_parts(r);

	why = why ? why : check_origin(r);
	why = why ? why : check_width(r);
	if (!why)
		return 0;
	rule_print(r, text);
	return err_set(err, ERR_INVALID, EINVAL, "%s %s: %s", rule_action_name(r->action), text, why);
}

void rule_done(struct rule *r)
{
	free(r->host);
	free(r->methods);
	free(r->path);
	free(r->sandbox);
	free(r->source);
	*r = (struct rule){ .host = NULL };
}

static void print_host(const struct rule *r, char *dst, size_t size)
{
	char range[CIDR_PRINT_MAX];

	switch (r->kind) {
	case RULE_ANY:
		(void)str_format(dst, size, "**");
		break;
	case RULE_LOCALHOST:
		(void)str_format(dst, size, "localhost");
		break;
	case RULE_RANGE:
		cidr_print(&r->range, range);
		(void)str_format(dst, size, r->port && r->range.net.bits == 128 ? "[%s]" : "%s", range);
		break;
	default:
		(void)str_format(dst, size, "%s%s", r->kind == RULE_DEEP ? "**." : r->kind == RULE_BELOW ? "*." : "", r->host);
	}
}

void rule_print(const struct rule *r, char dst[RULE_RESOURCE_MAX])
{
	char host[RULE_RESOURCE_MAX - 16];

	print_host(r, host, sizeof(host));
	if (r->port)
		(void)str_format(dst, RULE_RESOURCE_MAX, "%s%s:%u", r->tcp ? "tcp " : "", host, r->port);
	else
		(void)str_format(dst, RULE_RESOURCE_MAX, "%s%s", r->tcp ? "tcp " : "", host);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && str_eq(a, b));
}

bool rule_same(const struct rule *a, const struct rule *b)
{
	return a->kind == b->kind && a->port == b->port && a->tcp == b->tcp && same_text(a->host, b->host) &&
	       (a->kind != RULE_RANGE ||
		(address_equal(&a->range.net, &b->range.net) && a->range.prefix == b->range.prefix)) &&
	       same_text(a->methods, b->methods) && same_text(a->path, b->path) && same_text(a->sandbox, b->sandbox);
}

bool rule_says_same(const struct rule *a, const struct rule *b)
{
	return a->action == b->action && a->no_websocket == b->no_websocket && a->expect == b->expect;
}

bool rule_is_http(const struct rule *r)
{
	return r->methods || r->path || r->no_websocket;
}

unsigned int rule_weight(const struct rule *r)
{
	const unsigned int exact = 1000;
	unsigned int host = exact;

	if (r->kind == RULE_ANY) {
		host = 0;
	} else if (r->kind == RULE_RANGE && r->range.prefix < r->range.net.bits) {
		host = 1U + r->range.prefix;
	} else if (r->kind == RULE_BELOW || r->kind == RULE_DEEP) {
		host = r->kind == RULE_BELOW ? 3 : 2;
		for (const char *p = r->host; (p = strchr(p, '.')); p++)
			host += 2;
	}
	return host * 8 + (r->port ? 4 : 0) + (r->path ? 2 : 0) + (r->methods ? 1 : 0);
}

bool rule_has_method(const struct rule *r, const char *method)
{
	size_t n = strlen(method), len;

	if (!r->methods)
		return true;
	for (const char *p = r->methods;; p += len + 1) {
		len = strcspn(p, ",");
		if (len == n && memcmp(p, method, n) == 0)
			return true;
		if (!p[len])
			return false;
	}
}

bool rule_covers_name(const struct rule *r, const char *host)
{
	size_t n = strlen(host), m;

	if (r->kind == RULE_ANY)
		return true;
	if (!r->host)
		return false;
	m = strlen(r->host);
	if (r->kind == RULE_NAME)
		return str_eq(host, r->host);
	if (n < m + 2 || host[n - m - 1] != '.' || !str_eq(host + n - m, r->host))
		return false;
	return r->kind == RULE_DEEP || !memchr(host, '.', n - m - 1);
}

bool rule_covers_address(const struct rule *r, const struct address *a)
{
	return r->kind == RULE_ANY || (r->kind == RULE_RANGE && cidr_contains(&r->range, a));
}

static const char *const actions[] = { [RULE_DENY] = "deny", [RULE_ASK] = "ask", [RULE_ALLOW] = "allow" };
static const char *const origins[] = { [RULE_PRESET] = "preset", [RULE_USER] = "user", [RULE_AGENT] = "agent",
				       [RULE_REPOSITORY] = "repository" };
static const char *const modes[] = { [RULE_TLS_AUTO] = "auto", [RULE_TLS_INTERCEPT] = "intercept",
				     [RULE_TLS_SPLICE] = "splice" };
static const char *const expects[] = { [RULE_EXPECT_NONE] = "none", [RULE_EXPECT_SSH] = "ssh" };

/* The index of s; n where it is none of the names. */
static size_t find(const char *s, const char *const *names, size_t n)
{
	size_t i = 0;

	while (i < n && !str_eq(s, names[i]))
		i++;
	return i;
}

const char *rule_action_name(enum rule_action action)
{
	return actions[action];
}

const char *rule_origin_name(enum rule_origin origin)
{
	return origins[origin];
}

const char *rule_tls_name(enum rule_tls tls)
{
	return modes[tls];
}

bool rule_action_from_name(const char *s, enum rule_action *ret)
{
	size_t i = find(s, actions, ARRAY_LEN(actions));

	if (i < ARRAY_LEN(actions))
		*ret = (enum rule_action)i;
	return i < ARRAY_LEN(actions);
}

bool rule_origin_from_name(const char *s, enum rule_origin *ret)
{
	size_t i = find(s, origins, ARRAY_LEN(origins));

	if (i < ARRAY_LEN(origins))
		*ret = (enum rule_origin)i;
	return i < ARRAY_LEN(origins);
}

bool rule_tls_from_name(const char *s, enum rule_tls *ret)
{
	size_t i = find(s, modes, ARRAY_LEN(modes));

	if (i < ARRAY_LEN(modes))
		*ret = (enum rule_tls)i;
	return i < ARRAY_LEN(modes);
}

const char *rule_expect_name(enum rule_expect expect)
{
	return expects[expect];
}

bool rule_expect_from_name(const char *s, enum rule_expect *ret)
{
	size_t i = find(s, expects, ARRAY_LEN(expects));

	if (i < ARRAY_LEN(expects))
		*ret = (enum rule_expect)i;
	return i < ARRAY_LEN(expects);
}
