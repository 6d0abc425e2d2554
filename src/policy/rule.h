/* SPDX-License-Identifier: Apache-2.0
 *
 * rule: one line of a network policy, from the text that a person writes to a form that compares without thinking.
 *
 * The resource of a rule (docs/policy.md):
 *   host[:PORT]        that name and no other        *.host[:PORT]   exactly one label below host
 *   address[:PORT]     IPv4, or [IPv6] with a port   **.host[:PORT]  any number of labels below host, at least one
 *   range[:PORT]       10.1.0.0/16, [2001:db8::/32]  localhost:PORT  a service of the host's loopback
 *   tcp RESOURCE:PORT  any bytes, not only HTTP      **              everything
 * Without a port: every port. A rule for names is for HTTP and TLS unless it begins with `tcp`; one for addresses or for
 * localhost is for any bytes. A rule with methods or a path is for HTTP requests only.
 *
 * A deny may be as wide as it likes. An allow or an ask may not be so wide that nobody meant it: `**`, `*.com`, `*.co.uk`,
 * 0.0.0.0/0 are refused (a preset may hold `**`). `localhost` is reached as host.docker.internal in a sandbox. Everything is canonical after parsing: equal rules are equal texts.
 */
#ifndef SBX_POLICY_RULE_H
#define SBX_POLICY_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "policy/address.h"
#include "policy/target.h"
#include "wire/dest.h"

#define RULE_RESOURCE_MAX 320
#define RULE_ID_MAX 64
#define RULE_SANDBOX_MAX 64
#define RULE_SOURCE_MAX 128
#define RULE_METHODS_MAX 16
#define RULE_METHOD_MAX 32

/* In the order of permission; also a verdict's outcome. */
enum rule_action { RULE_DENY, RULE_ASK, RULE_ALLOW };

enum rule_kind {
	RULE_ANY,       /* ** */
	RULE_NAME,      /* host */
	RULE_BELOW,     /* *.host */
	RULE_DEEP,      /* **.host */
	RULE_RANGE,     /* address or range */
	RULE_LOCALHOST, /* localhost:PORT */
};

/* Who wrote the rule, and so what it may do: a repository's rules only deny, an agent's only reach public names. */
enum rule_origin { RULE_PRESET, RULE_USER, RULE_AGENT, RULE_REPOSITORY };

/* What the bytes must be where this rule lets any bytes through. */
enum rule_expect {
	RULE_EXPECT_NONE,
	RULE_EXPECT_SSH, /* both sides begin with SSH's identification (RFC 4253 section 4.2) */
};

/* What happens to TLS where this rule allows. */
enum rule_tls {
	RULE_TLS_AUTO,
	RULE_TLS_INTERCEPT, /* always terminated */
	RULE_TLS_SPLICE,    /* never terminated; exact names only, and no methods or path for the same destination */
};

struct rule {
	char id[RULE_ID_MAX + 1]; /* unique in a policy; [A-Za-z0-9._:-]+ */
	enum rule_action action;
	enum rule_kind kind;
	char *host;        /* owned: the name, without its wildcard; NULL for the other kinds */
	struct cidr range; /* RULE_RANGE */
	uint16_t port;     /* 0: every port */
	bool tcp;          /* written as `tcp ...` */
	enum rule_tls tls;
	enum rule_expect expect;
	bool no_websocket;    /* requests only: a WebSocket handshake is refused, whatever else allows it */
	bool exfiltration;    /* many tenants behind one name: what is allowed here can carry data to anybody */
	char *methods;        /* owned: "GET,HEAD", sorted; NULL: every method */
	char *path;           /* owned: a canonical pattern; NULL: every path */
	char *sandbox;        /* owned: the one it is for; NULL: all of them */
	enum rule_origin origin;
	char *source;         /* owned: "balanced/default-os-packages", an agent's name, a file; NULL: none */
};

/* Reads the resource into r, which rule_done can then take; on failure there is nothing to free. Only the grammar: how wide
 * a rule may be depends on the rest of it, rule_check says that. ASCII only: see policy/idn.h for what people write. */
int rule_parse(const char *resource, struct rule *r, struct err *err);
/* Adds methods ("GET,HEAD", "ANY" or NULL: every method) and a path pattern (NULL: every path); after rule_parse. */
int rule_set_http(struct rule *r, const char *methods, const char *path, struct err *err);
/* Whether its parts may stand together: action, origin, width, tls, HTTP. Every rule of a policy has passed it. */
int rule_check(const struct rule *r, struct err *err);
void rule_done(struct rule *r);

/* The canonical resource, "tcp **.example.com:22"; always terminated. */
void rule_print(const struct rule *r, char dst[RULE_RESOURCE_MAX]);
/* The same resource, methods, path, and sandbox: one of two such rules is one too many. What else a rule says of TLS, WebSocket and
 * expected bytes does not count: see rule_says_same. */
bool rule_same(const struct rule *a, const struct rule *b);
/* Of two for which rule_same holds: whether action, no_websocket and expect are the same, too. */
bool rule_says_same(const struct rule *a, const struct rule *b);
/* Whether it looks at requests, not only at connections: methods, a path, or no_websocket. */
bool rule_is_http(const struct rule *r);
/* How narrow it is: more is narrower. */
unsigned int rule_weight(const struct rule *r);
/* Whether the rule's methods (every one where it has none) have this one. */
bool rule_has_method(const struct rule *r, const char *method);
/* Whether the rule's resource covers this name or address, whatever the port. */
bool rule_covers_name(const struct rule *r, const char *host);
bool rule_covers_address(const struct rule *r, const struct address *a);

const char *rule_action_name(enum rule_action action); /* "allow" */
const char *rule_origin_name(enum rule_origin origin); /* "preset" */
const char *rule_tls_name(enum rule_tls tls);          /* "intercept" */
/* false for an unknown name */
bool rule_action_from_name(const char *s, enum rule_action *ret);
bool rule_origin_from_name(const char *s, enum rule_origin *ret);
bool rule_tls_from_name(const char *s, enum rule_tls *ret);
const char *rule_expect_name(enum rule_expect expect); /* "ssh"; "none" */
bool rule_expect_from_name(const char *s, enum rule_expect *ret);
/* Whether all of the name's labels are one registry's: "com", "co.uk". */
bool rule_is_suffix(const char *host);

#endif
