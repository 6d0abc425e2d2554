/* SPDX-License-Identifier: Apache-2.0
 *
 * oauthmsg: what is said to sbx-keeper about sign-ins inside sandboxes. A grant is what came of one: an access token, which is a secret
 * (secretmsg.h) of the name that its definition (oauthdef.h) says, and mostly a refresh token. Framing and errors as in keepermsg.h.
 *
 *   {"op":"oauth-define","services":[DEF]}                     {"ok":true}     attached, once, before anything else was asked
 *   {"op":"oauth-services"}                                    {"ok":true,"services":[DEF]}                         attached
 *   {"op":"oauth-begin","service":"x","for":"sign-in"}         {"ok":true,"ticket":0}                               attached
 *   {"op":"oauth-begin","service":"x","for":"refresh"}         {"ok":true,"ticket":7,"refresh":"..."}, or {"ok":true,"busy":true}: one at a time
 *   {"op":"oauth-begin","service":"x","for":"revoke"}          {"ok":true,"ticket":7,"access":"...","refresh":"..."}
 *   {"op":"oauth-store","service":"x","ticket":7,"access":"...",   as oauth-give: what the guest is to have                   attached
 *     "refresh":"..."|null,"id":"..."|null}                    refresh null: the old one stays, but after a sign-in; id is not kept
 *   {"op":"oauth-end","service":"x","ticket":7,"revoked":false}    {"ok":true}
 *   {"op":"oauth-list"}                                        {"ok":true,"secrets":[SECRET]}                       not attached
 *   {"op":"oauth-share","service":"x","sandbox":"ID"}          {"ok":true}                                          not attached
 *   {"op":"oauth-give","service":"x","sandbox":"ID"}           {"ok":true,"access":"...","refresh":"..."|null,"id":"..."|null}: what the guest
 *                                                              is to have of a grant that is in force for it        not attached
 */
#ifndef SBX_WIRE_OAUTHMSG_H
#define SBX_WIRE_OAUTHMSG_H

#include "wire/oauthdef.h"

#define OAUTHMSG_SENTINEL_MAX 12288 /* what the guest has of a token: a JWT without its signature may be as long as one with */

enum oauthmsg_op {
	OAUTHMSG_DEFINE,
	OAUTHMSG_SERVICES,
	OAUTHMSG_BEGIN,
	OAUTHMSG_STORE,
	OAUTHMSG_END,
	OAUTHMSG_LIST,
	OAUTHMSG_SHARE,
	OAUTHMSG_GIVE,
};

enum oauthmsg_for { OAUTHMSG_SIGN_IN, OAUTHMSG_REFRESH, OAUTHMSG_REVOKE };

struct oauthmsg_request {
	enum oauthmsg_op op;
	struct oauthdef_list services;     /* define */
	char service[SECRETMSG_NAME];      /* but for define, services, list */
	char sandbox[KEEPERMSG_ID];        /* share, give */
	enum oauthmsg_for purpose;         /* begin */
	uint64_t ticket;                   /* store, end; 0: of a sign-in */
	struct secret access, refresh, id; /* store; refresh, id "": none */
	bool revoked;                      /* end */
};

/* Of begin. */
struct oauthmsg_begun {
	bool busy; /* somebody else refreshes: ask again */
	uint64_t ticket;
	struct secret access, refresh; /* "": none */
};

/* Of store and give. */
struct oauthmsg_given {
	char access[OAUTHMSG_SENTINEL_MAX + 1], refresh[SECRETMSG_TEXT], id[OAUTHMSG_SENTINEL_MAX + 1]; /* "": none */
};

/* -ENOENT: its op is none of these. Wipe what has secrets. */
int oauthmsg_decode(const char *json, size_t n, struct oauthmsg_request *ret, struct err *err);
int oauthmsg_encode(const struct oauthmsg_request *r, struct buf *out);

/* Replies, as in secretmsg.h; that of list is secretmsg's, too. */
int oauthmsg_decode_services(const char *json, size_t n, struct oauthdef_list *ret, struct err *err);
int oauthmsg_decode_begun(const char *json, size_t n, struct oauthmsg_begun *ret, struct err *err);
int oauthmsg_decode_given(const char *json, size_t n, struct oauthmsg_given *ret, struct err *err);
int oauthmsg_encode_services(const struct oauthdef_list *l, struct buf *out);
int oauthmsg_encode_begun(const struct oauthmsg_begun *b, struct buf *out);
int oauthmsg_encode_given(const struct oauthmsg_given *g, struct buf *out);

#endif
