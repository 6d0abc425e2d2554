/* SPDX-License-Identifier: Apache-2.0
 *
 * oauthbody: the bodies that go to a token endpoint (RFC 6749, RFC 7009) and come from it: what they ask for and hand out, and the same with
 * other tokens in the place of those that are there. What cannot be read for certain is refused. No I/O.
 */
#ifndef SBX_WIRE_OAUTHBODY_H
#define SBX_WIRE_OAUTHBODY_H

#include "wire/oauthmsg.h"

#define OAUTHBODY_REQUEST_MAX (64U << 10)
#define OAUTHBODY_ANSWER_MAX (256U << 10)

struct oauthbody_bytes {
	const char *type; /* Content-Type; "": none */
	const uint8_t *bytes;
	size_t n;
};

/* What a request wants. */
struct oauthbody_ask {
	bool form; /* else JSON */
	enum oauthmsg_for purpose;
	bool access; /* to be revoked: the access token */
};

/* Why not. */
struct oauthbody_fault {
	const char *reason; /* static: "oauth", "foreign_credential", "placeholder_wrong_host" */
	const char *text;   /* static, for a person */
};

/* A request to one of d's token endpoints, or with revoke to one for revocation. all: whose placeholders are known. 0, or -EPROTO and *why:
 *   JSON, or a form; nothing twice that matters; grant_type authorization_code, device_code (RFC 8628) or refresh_token;
 *   to be refreshed or revoked: a placeholder of d's, and nothing else */
struct oauthbody_known {
	const struct oauthdef_list *defs;
	const struct secretmsg_list *list;
};
int oauthbody_read(const struct oauthdef *d, bool revoke, const struct oauthbody_bytes *b, const struct oauthbody_known *known,
		   struct oauthbody_ask *ret, struct oauthbody_fault *why);
/* The same request with the real tokens, appended to out. -ENOMEM, -EMSGSIZE, -ENOENT (the token that it needs is not there). Wipe out. */
int oauthbody_fill(const struct oauthbody_ask *a, const struct oauthbody_bytes *b, const struct oauthmsg_begun *real,
		   struct buf *out);

/* What a response hands out; "": not there. */
struct oauthbody_tokens {
	struct secret access, refresh, id;
};
enum oauthbody_answer {
	OAUTHBODY_PASS,   /* nothing: an error, or "not yet" */
	OAUTHBODY_TOKENS, /* an access token at least, where they belong, and nowhere else anything that looks like one */
	OAUTHBODY_BAD,    /* not to be understood */
};
enum oauthbody_answer oauthbody_answer(const struct oauthdef *d, int status, const struct oauthbody_bytes *b, struct oauthbody_tokens *ret);
/* The same response with what the guest is to have. -EPROTO: a token stands in yet another place. */
int oauthbody_mask(const struct oauthdef *d, const struct oauthbody_bytes *b, const struct oauthbody_tokens *real,
		   const struct oauthmsg_given *given, struct buf *out);

/* What the guest is to have of a token: of a JWT (RFC 7519) the claims that d tells, without a signature: the placeholder stands there; of anything else
 * the placeholder. dst has OAUTHMSG_SENTINEL_MAX + 1 bytes. -ENOMEM, -EMSGSIZE. */
int oauthbody_sentinel(const struct oauthdef *d, const char *token, bool jwt, char *dst);

/* An agent's file for a sandbox that is signed in: text with what the guest has in place of ${ACCESS_TOKEN}, ${REFRESH_TOKEN}, ${ID_TOKEN}, and of
 * ${ID_TOKEN CLAIM} or ${ID_TOKEN CLAIM MEMBER}, a string of the identity token; each escaped as inside a JSON string, and nothing where there is none.
 * Any other $ stands for itself. Appended. -ENOMEM, -EMSGSIZE. */
int oauthbody_expand(const char *text, const struct oauthmsg_given *g, struct buf *out);

#endif
