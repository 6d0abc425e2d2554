/* SPDX-License-Identifier: Apache-2.0
 *
 * secretmsg: what is said to sbx-keeper about secrets, and the keeper's file of them. The framing and the errors are those of
 * keepermsg.h; docs/secrets.md tells what the members mean.
 *
 *   {"op":"secret-set","secret":SECRET,"value":"..."}        {"ok":true}
 *   {"op":"secret-rm","name":"...","sandbox":"ID"|null}      {"ok":true}
 *   {"op":"secret-list"}                                     {"ok":true,"secrets":[SECRET,...]}
 *   {"op":"bindings"}            attached                    {"ok":true,"secrets":[SECRET,...]}, those of this sandbox
 *   {"op":"inject","host":"...","port":443,"path":"/v1/x"}   {"ok":true,"secret":"...","header":"...","field":"...",
 *                 and "has":"PLACEHOLDER"; attached            "value":"...","placeholder":"..."} or {"ok":true,"none":"path"}
 *                                                            {"event":"secrets"}: they have changed; unasked, attached
 *
 *   SECRET {"name","sandbox":"ID"|null,"env":["VAR"],"placeholder","bindings":[{"host","port","path","header","format"}]}
 *          and "refresh":"PLACEHOLDER" where it is a grant, which a program in a sandbox got by signing in (oauthmsg.h)
 *          In place of "header" a binding may have "query" or "body": the name of a member or field (wire/bodyfield.h), the format being "%s" then.
 *          What is injected says in the same way where it goes.
 *
 * A format holds one %s, where the value goes; after "Basic " the rest is base64 (RFC 7617). Decoding is strict, as in
 * keepermsg.h, and checks what a secret may be: what decodes can be put into a header as it is. Fixed sizes, no allocation
 * that outlives a call, no I/O.
 */
#ifndef SBX_WIRE_SECRETMSG_H
#define SBX_WIRE_SECRETMSG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "wire/dest.h"
#include "wire/keepermsg.h"

#define SECRETMSG_MAX 32 /* secrets */
#define SECRETMSG_BINDINGS_MAX 8
#define SECRETMSG_ENV_MAX 4
#define SECRETMSG_NAME 65
#define SECRETMSG_TEXT 129
#define SECRETMSG_VALUE_MIN 8 /* less could not be told from other text in a response */
#define SECRETMSG_VALUE_MAX 8192
#define SECRETMSG_FIELD_MAX 12288 /* Basic makes it longer */

/* A secret's value. Never printed; secret_wipe before it goes out of scope. */
struct secret {
	char s[SECRETMSG_VALUE_MAX + 1];
};
void secret_wipe(struct secret *s);
/* Whether it can be one: 8 to 8192 bytes of printable ASCII. err says what is wrong, and not what it is. */
int secret_check(const char *s, size_t n, struct err *err);

/* What carries a secret. */
enum secretmsg_where { SECRETMSG_HEADER, SECRETMSG_QUERY, SECRETMSG_BODY };

struct secretmsg_binding {
	struct dest to; /* https */
	char path[SECRETMSG_TEXT];  /* a pattern (policy/target.h) */
	enum secretmsg_where where;
	char header[SECRETMSG_NAME]; /* its name; a header's in lower case */
	char format[SECRETMSG_TEXT];
};

struct secretmsg_secret {
	char name[SECRETMSG_NAME];
	char sandbox[KEEPERMSG_ID]; /* "": all */
	char env[SECRETMSG_ENV_MAX][SECRETMSG_NAME];
	size_t nenv;
	char placeholder[SECRETMSG_TEXT]; /* what the guest has in its place */
	struct secretmsg_binding bindings[SECRETMSG_BINDINGS_MAX];
	size_t nbindings;
	char refresh[SECRETMSG_TEXT]; /* a grant: what the guest has in place of the refresh token; "": an ordinary secret */
};

#define SECRETMSG_LIST_MAX 64 /* secrets, and grants */

struct secretmsg_list {
	struct secretmsg_secret of[SECRETMSG_LIST_MAX];
	size_t n;
};

enum secretmsg_op { SECRETMSG_SET, SECRETMSG_RM, SECRETMSG_LIST, SECRETMSG_BINDINGS, SECRETMSG_INJECT };

struct secretmsg_request {
	enum secretmsg_op op;
	struct secretmsg_secret secret; /* set; rm: name and sandbox only */
	struct secret value;            /* set */
	struct dest to;                 /* inject */
	char path[4097];                /* inject: canonical, without a query */
	char has[SECRETMSG_TEXT];       /* inject: the placeholder that the request brings; "": none */
};

/* What is to be written into a request. */
struct secretmsg_injection {
	char none[32];                /* why there is nothing: "path", "no_secret", "no_placeholder"; "": the rest is there */
	char secret[SECRETMSG_NAME];
	enum secretmsg_where where;
	char header[SECRETMSG_NAME];  /* or the query's member, or the body's field */
	char placeholder[SECRETMSG_TEXT];
	char field[SECRETMSG_FIELD_MAX + 1]; /* its whole value */
	struct secret value;
};

/* -ENOENT: its op is none of these. Wipe the value. */
int secretmsg_decode(const char *json, size_t n, struct secretmsg_request *ret, struct err *err);
int secretmsg_encode(const struct secretmsg_request *r, struct buf *out);

/* Replies. An error reply fills err, as its sender said it, and is negative. */
int secretmsg_decode_ok(const char *json, size_t n, struct err *err);
int secretmsg_decode_list(const char *json, size_t n, struct secretmsg_list *ret, struct err *err);
int secretmsg_decode_injection(const char *json, size_t n, struct secretmsg_injection *ret, struct err *err);
int secretmsg_encode_ok(struct buf *out);
int secretmsg_encode_list(const struct secretmsg_list *l, struct buf *out);
int secretmsg_encode_injection(const struct secretmsg_injection *i, struct buf *out);
int secretmsg_encode_error(const struct err *e, struct buf *out);
/* The unasked message. */
int secretmsg_encode_changed(struct buf *out);
bool secretmsg_is_changed(const char *json, size_t n);

/* One secret as JSON, for the keeper's file and for people. */
json_t *secretmsg_write(const struct secretmsg_secret *s);
int secretmsg_read(const json_t *o, struct secretmsg_secret *ret, struct err *err);

/* For those who say more in the same way (oauthmsg.h). A message: its object, or NULL. Takes o's reference, appends its text and wipes what it
 * can: 0, -ENOMEM, -EMSGSIZE. A reply that says ok, in *ret; or its error. */
json_t *secretmsg_parse(const char *json, size_t n);
int secretmsg_emit(json_t *o, struct buf *out);
int secretmsg_reply(const char *json, size_t n, json_t **ret, struct err *err);

/* The header's value for a format: dst has SECRETMSG_FIELD_MAX + 1 bytes. -EMSGSIZE, -ENOMEM. */
int secretmsg_field(const char *format, const char *value, char *dst, size_t size);

#endif
