/* SPDX-License-Identifier: Apache-2.0
 *
 * policy: a set of rules, and the one function that decides by them. `sbx policy check`, the proxy and its log all ask
 * policy_decide: it is pure, so what it says depends on the policy and the query alone, never on the order of the rules.
 *
 * How it decides, in this order:
 *   1. Names that mean the sandbox or the host itself (localhost, metadata.google.internal, *.docker.internal) are refused;
 *      host.docker.internal:PORT is what `localhost:PORT` rules are about.
 *   2. A deny that matches decides, however wide it is. A deny for a range concerns the address that a name resolved to, too.
 *   3. An address that is not public (address.h), is the host's own or on its link is refused unless the policy opens it: an
 *      allow for a range around it; network.permittedRanges, but these never loopback, link local, metadata, multicast, unspecified
 *      or own addresses, which only an allow for exactly that address opens. An allow for a name never opens an address.
 *   4. Of the allows and asks that match, the narrower decides (rule_weight), an allow where they are equally narrow.
 *      An allow or ask with no_websocket is a deny (2.) for requests that are a WebSocket's handshake. A rule with `expect` covers raw TCP only,
 *      and what it expects holds where it decides (where equally narrow, one without expectation goes first).
 *   5. Else the default. It covers HTTP and TLS only: raw TCP always needs a rule.
 * So one more deny never allows more, and one more allow never denies more.
 *
 * A query without a method asks for a connection: then a rule with methods or a path can only say that requests must be
 * looked at (needs_inspection), and each request is asked about again. Where needs_inspection cannot be met, refuse.
 */
#ifndef SBX_POLICY_POLICY_H
#define SBX_POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/own.h"
#include "policy/address.h"
#include "policy/rule.h"
#include "policy/ruleset.h"
#include "policy/target.h"
#include "wire/dest.h"

#define POLICY_RANGES_MAX 256
#define POLICY_PRESET_MAX 32
/* The name under which a sandbox reaches the host's loopback. */
#define POLICY_HOST_NAME "host.docker.internal"

struct policy {
	char preset[POLICY_PRESET_MAX + 1]; /* "balanced"; "" for none */
	uint64_t generation;                /* the owner counts it up with each change */
	enum rule_action fallback;          /* where no rule decides */
	enum rule_tls tls;                  /* tls.default: AUTO or INTERCEPT */
	struct cidr *ranges;                /* owned: network.permittedRanges */
	size_t nranges;
	struct ruleset rules;
};

/* An address and what the kernel says about the way to it. */
struct policy_address {
	struct address address;
	bool own;     /* one of the host's own addresses */
	bool on_link; /* no router stands between */
};

struct policy_query {
	const char *sandbox; /* NULL: only rules for all sandboxes */
	const struct dest *dest;
	const char *method; /* NULL: a connection */
	const struct target *target;          /* with a method; NULL: not known, as if it were ambiguous */
	const struct policy_address *address; /* the one to be dialled; NULL: not resolved yet. A literal needs none. */
	bool websocket; /* with a method: it is a WebSocket's handshake */
	bool any_port; /* whether the name may be reached on some port, with any protocol; for name lookups */
};

/* Why. The names are those of the log. */
enum policy_reason {
	POLICY_BY_RULE,    /* "rule" */
	POLICY_BY_DEFAULT, /* "default" */
	POLICY_NO_RULE,    /* "no_rule": nothing is said about this destination */
	POLICY_PORT,       /* "port": a rule has the name, but another port */
	POLICY_METHOD,     /* "method" */
	POLICY_PATH,       /* "path" */
	POLICY_AMBIGUOUS,  /* "ambiguous_path": the path can be read in two ways, and a rule depends on it */
	POLICY_EXPECT,     /* "expect": the rule is for other bytes than HTTP and TLS */
	POLICY_TCP,        /* "tcp": the rule is for HTTP and TLS */
	POLICY_WEBSOCKET,  /* "websocket": a rule refuses WebSocket here */
	POLICY_RAW_IP,     /* "raw_ip": an address, where only names are allowed */
	POLICY_ADDRESS,    /* "address": not a public address */
	POLICY_SELF,       /* "self": the sandbox's own gateway */
	POLICY_LOCALHOST,  /* "localhost": a service of the host without a rule */
	POLICY_REASONS,
};

/* What explain.h puts into words. */
struct verdict {
	enum rule_action action;
	enum policy_reason reason;
	bool explicit;               /* a rule decided, not the absence of one */
	const struct rule *rule;     /* borrowed until the policy changes: the rule that decided; NULL: none */
	const struct rule *near;     /* likewise: one that almost matched (PORT, METHOD, PATH, TCP); NULL: none */
	const char *id;              /* borrowed likewise: the rule's, or "default-allow", "default-deny", "builtin" */
	bool needs_inspection;       /* requests must be seen: a method/path rule could apply, or TLS is to be intercepted */
	enum rule_expect expect;     /* an allow or ask for raw TCP: what the bytes must be */
	bool splice;                 /* TLS must not be terminated */
	bool path_matters;           /* a path rule could apply: send the target in its canonical form only */
	unsigned int examined;       /* rules that were looked at */
	struct address_info address; /* with ADDRESS; name NULL: no address was known */
};

/* An empty policy: denies everything. */
struct policy *policy_new(void);
void policy_free(struct policy *p);
DEFINE_AUTO(policy, struct policy *, policy_free);

/* As ruleset_add. */
int policy_add(struct policy *p, struct rule *r, struct err *err);
/* Adds to network.permittedRanges; -ENOSPC past POLICY_RANGES_MAX. */
int policy_permit_range(struct policy *p, const struct cidr *range, struct err *err);
/* What cannot be said of one rule alone: a spliced name must not have rules that need to see its requests. */
int policy_check(const struct policy *p, struct err *err);

void policy_decide(const struct policy *p, const struct policy_query *q, struct verdict *ret);
/* The rules that concern the query's host or address, whatever port, method and path; how many there are, of which at most max
 * are written. */
size_t policy_matching(const struct policy *p, const struct policy_query *q, const struct rule **ret, size_t max);
const char *policy_reason_name(enum policy_reason reason);

#endif
