/* SPDX-License-Identifier: Apache-2.0
 *
 * oauthdef: how a program signs in at a service, as far as a proxy must know it to keep the tokens: where they are handed out, what the
 * guest gets in their place, where they are used. Such a definition comes from an agent's profile (docs/agents.md, docs/secrets.md), as
 * JSON:
 *
 *   {"service":"x-oauth",                              the grant's name, as of secretmsg.h
 *    "token":["https://auth.example.com/oauth/token"], exactly these: no port but 443, no query
 *    "revoke":[URL], "refuse":[URL],                   optional; refuse: URLs that hand out other credentials for a token. A definition with these
 *                                                      may have no "token": then nobody signs in by it
 *    "fields":{"access":"access_token","refresh":"refresh_token","id":"id_token"},     optional: these are the defaults
 *    "access":{"placeholder":"...","form":"opaque"|"jwt","hosts":["api.example.com"],"header":"authorization","format":"Bearer %s"},
 *    "refresh":{"placeholder":"..."},
 *    "claims":["exp"]}                                 optional; of tokens that are JWTs, what the guest is told. Absent: everything
 *
 * A placeholder is unmistakable: at least OAUTHDEF_PLACEHOLDER_MIN bytes. That of a JWT stands where its signature was. Decoding is strict; what
 * decodes is written again as something that decodes to the same. No I/O.
 */
#ifndef SBX_WIRE_OAUTHDEF_H
#define SBX_WIRE_OAUTHDEF_H

#include "wire/secretmsg.h"

#define OAUTHDEF_MAX 8 /* services at a time */
#define OAUTHDEF_URLS 4
#define OAUTHDEF_CLAIMS 12
#define OAUTHDEF_PLACEHOLDER_MIN 20
#define OAUTHDEF_FIELD 33

struct oauthdef_url {
	struct dest to; /* https, port 443 */
	char path[SECRETMSG_TEXT];
};

struct oauthdef {
	char service[SECRETMSG_NAME];
	struct oauthdef_url token[OAUTHDEF_URLS], revoke[OAUTHDEF_URLS], refuse[OAUTHDEF_URLS];
	size_t ntoken, nrevoke, nrefuse;
	struct {
		char access[OAUTHDEF_FIELD], refresh[OAUTHDEF_FIELD], id[OAUTHDEF_FIELD];
	} fields; /* of a response */
	char access[SECRETMSG_TEXT], refresh[SECRETMSG_TEXT]; /* placeholders */
	bool jwt;                                             /* the access token is one */
	struct secretmsg_binding bindings[SECRETMSG_BINDINGS_MAX];
	size_t nbindings;
	char claims[OAUTHDEF_CLAIMS][SECRETMSG_NAME];
	size_t nclaims;
};

struct oauthdef_list {
	struct oauthdef of[OAUTHDEF_MAX];
	size_t n;
};

/* One definition: 0, -ENOMEM, or -EINVAL and err that says which member. */
int oauthdef_read(const json_t *o, struct oauthdef *ret, struct err *err);
json_t *oauthdef_write(const struct oauthdef *d);
/* An array of up to OAUTHDEF_MAX; no service and no token URL twice. */
int oauthdef_read_list(const json_t *list, struct oauthdef_list *ret, struct err *err);
json_t *oauthdef_write_list(const struct oauthdef_list *l);

const struct oauthdef *oauthdef_find(const struct oauthdef_list *l, const char *service);

/* What a request to a destination is for. path is canonical, without a query. */
enum oauthdef_use {
	OAUTHDEF_NONE,
	OAUTHDEF_TOKEN,
	OAUTHDEF_REVOKE,
	OAUTHDEF_REFUSED, /* hands out credentials that nobody keeps */
	OAUTHDEF_ALMOST,  /* one of these, spelt in a way that a server could take for it, or on another port */
};
enum oauthdef_use oauthdef_use(const struct oauthdef_list *l, const struct dest *to, const char *path, const struct oauthdef **ret);
/* Whether any of these URLs is at this host, whatever the port: its requests must be seen, and sent in their canonical form. */
bool oauthdef_has_host(const struct oauthdef_list *l, const struct dest *to);

#endif
