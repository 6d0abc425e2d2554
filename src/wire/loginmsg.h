/* SPDX-License-Identifier: Apache-2.0
 *
 * loginmsg: what is said to sbx-keeper about sign-ins, and the keeper's record of one. The framing and the errors are those of
 * keepermsg.h; docs/login.md tells what the members mean.
 *
 *   {"op":"login-list"}                                 {"ok":true,"logins":[LOGIN,...]}
 *   {"op":"login-rm","name":NAME}                       {"ok":true}
 *   {"op":"login-begin","login":LOGIN}                  {"ok":true}                this connection is this login's from now on
 *   {"op":"login-use","name":NAME}                      {"ok":true,"login":LOGIN}  the same, of one that is there
 *   {"op":"login-put","user","email","expires","secrets":SECRETS}      {"ok":true} of a login's own connection only
 *   {"op":"login-secrets"}                              {"ok":true,"secrets":SECRETS}     the same, after login-use
 *   {"op":"registry-credential","registry":"HOST:PORT"} {"ok":true,"authorization":"...","expires":N,"realm":"HOST:PORT"|null}
 *
 *   LOGIN   {"issuer":URL|null,"client":"..."|null,"user","email"|null,"registries":["HOST:PORT"],"realm":"HOST:PORT"|null,"since":N,"expires":N}
 *   SECRETS {"access","refresh","id","password"}, each a string, "" where there is none
 *   NAME    an issuer's URL, or HOST:PORT of a registry
 *
 * A login with an issuer is of OpenID, with at most LOGINMSG_REGISTRIES_MAX registries; one without is a registry's user and
 * password. Decoding is strict, as in keepermsg.h. Fixed sizes, no allocation that outlives a call, no I/O.
 */
#ifndef SBX_WIRE_LOGINMSG_H
#define SBX_WIRE_LOGINMSG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "wire/dest.h"
#include "wire/jws.h"
#include "wire/keepermsg.h"
#include "wire/oidc.h"

#define LOGINMSG_MAX 16
#define LOGINMSG_REGISTRIES_MAX 8
#define LOGINMSG_PASSWORD 4097 /* registries take tokens for passwords */
#define LOGINMSG_AUTHORIZATION 12288

struct loginmsg_login {
	char issuer[OIDC_URL];    /* "": a registry's user and password */
	char client[JWS_CLIENT];  /* with an issuer */
	char user[JWS_SUBJECT];   /* the subject, or the user's name; "" until it is signed in */
	char email[JWS_SUBJECT];  /* "": not said */
	struct dest registries[LOGINMSG_REGISTRIES_MAX];
	size_t nregistries;       /* without an issuer: 1 */
	struct dest realm;        /* without one: who else may be sent the password; host "": nobody */
	int64_t since, expires;   /* seconds since 1970; 0: not yet; of the access token, 0: not said */
};

/* "": none. Wipe it. */
struct loginmsg_secrets {
	char access[OIDC_TOKEN], refresh[OIDC_TOKEN], id[JWS_MAX_BYTES + 1], password[LOGINMSG_PASSWORD];
};

struct loginmsg_list {
	struct loginmsg_login of[LOGINMSG_MAX];
	size_t n;
};

enum loginmsg_op {
	LOGINMSG_LIST,
	LOGINMSG_RM,
	LOGINMSG_BEGIN,
	LOGINMSG_USE,
	LOGINMSG_PUT,
	LOGINMSG_SECRETS,
	LOGINMSG_CREDENTIAL,
};

struct loginmsg_request {
	enum loginmsg_op op;
	char name[OIDC_URL];             /* rm, use: as loginmsg_name has it */
	struct loginmsg_login login;     /* begin; put: user, email and expires */
	struct loginmsg_secrets secrets; /* put */
	struct dest registry;            /* credential */
};

struct loginmsg_credential {
	char authorization[LOGINMSG_AUTHORIZATION]; /* the header's value. Wipe it */
	int64_t expires;                            /* 0: not said */
	struct dest realm;                          /* as in struct loginmsg_login */
};

/* -ENOENT, err untouched: its op is none of these. Wipe the secrets. */
int loginmsg_decode(const char *json, size_t n, struct loginmsg_request *ret, struct err *err);
int loginmsg_encode(const struct loginmsg_request *r, struct buf *out);

/* Replies; an ok without members and an error are secretmsg's. An error reply fills err, as its sender said it, and is negative. */
int loginmsg_decode_list(const char *json, size_t n, struct loginmsg_list *ret, struct err *err);
int loginmsg_decode_login(const char *json, size_t n, struct loginmsg_login *ret, struct err *err);
int loginmsg_decode_secrets(const char *json, size_t n, struct loginmsg_secrets *ret, struct err *err);
int loginmsg_decode_credential(const char *json, size_t n, struct loginmsg_credential *ret, struct err *err);
int loginmsg_encode_list(const struct loginmsg_list *l, struct buf *out);
int loginmsg_encode_login(const struct loginmsg_login *l, struct buf *out);
int loginmsg_encode_secrets(const struct loginmsg_secrets *s, struct buf *out);
int loginmsg_encode_credential(const struct loginmsg_credential *c, struct buf *out);

/* One login, and secrets, as JSON: for the keeper's store and for people (the first only). New references; NULL on -ENOMEM. */
json_t *loginmsg_write(const struct loginmsg_login *l);
int loginmsg_read(const json_t *o, struct loginmsg_login *ret, struct err *err);
json_t *loginmsg_write_secrets(const struct loginmsg_secrets *s);
int loginmsg_read_secrets(const json_t *o, struct loginmsg_secrets *ret, struct err *err);

/* What people and messages call it: the issuer, or "HOST:PORT". */
void loginmsg_name(const struct loginmsg_login *l, char dst[OIDC_URL]);
bool loginmsg_has_registry(const struct loginmsg_login *l, const struct dest *registry);
/* "Basic ..." (RFC 7617); dst has LOGINMSG_AUTHORIZATION bytes. -ENOMEM, -EMSGSIZE. */
int loginmsg_basic(const char *user, const char *password, char *dst);
/* 1 to 4096 bytes of printable ASCII. */
int loginmsg_check_password(const char *s, size_t n, struct err *err);

#endif
