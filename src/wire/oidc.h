/* SPDX-License-Identifier: Apache-2.0
 *
 * oidc: what an OpenID issuer answers to a device that signs in: its discovery document (OpenID Connect Discovery 1.0, section
 * 3), the device authorization response (RFC 8628, 3.2), the token response and its errors (RFC 6749, 5.1 and 5.2; RFC 8628, 3.5); and a registry's token response (the distribution specification's token authentication). Every URL is https.
 * Decoding is strict about what is used, and passes over members that are not. No I/O.
 */
#ifndef SBX_WIRE_OIDC_H
#define SBX_WIRE_OIDC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "wire/dest.h"
#include "wire/jws.h"

#define OIDC_URL JWS_ISSUER
#define OIDC_CODE 1025
#define OIDC_USER_CODE 65
#define OIDC_TOKEN 8193
#define OIDC_WAIT_MAX_S 3600 /* a code that is good for longer is given up then */

struct oidc_issuer {
	char issuer[OIDC_URL];
	char device[OIDC_URL], token[OIDC_URL], keys[OIDC_URL];
	char revocation[OIDC_URL]; /* "": none */
	bool email, offline;       /* it says that it knows the scope "email", "offline_access" */
};

struct oidc_device {
	char device_code[OIDC_CODE]; /* a secret until it is used */
	char user_code[OIDC_USER_CODE];
	char uri[OIDC_URL];
	char complete[OIDC_URL]; /* with the code in it; "": not given */
	int64_t expires_s;       /* 1 to OIDC_WAIT_MAX_S */
	int64_t interval_s;      /* 1 to OIDC_WAIT_MAX_S; 5 where not said */
};

/* "": not given. Wipe it. */
struct oidc_tokens {
	char access[OIDC_TOKEN], refresh[OIDC_TOKEN], id[JWS_MAX_BYTES + 1];
	int64_t expires_s; /* of the access token; 0: not said */
};

enum oidc_refusal { OIDC_OTHER, OIDC_PENDING, OIDC_SLOW_DOWN, OIDC_DENIED, OIDC_EXPIRED };

struct oidc_error {
	enum oidc_refusal refusal;
	char code[65], description[257]; /* printable; "": not said */
};

/* "https://HOST[:PORT][/PATH][?QUERY]": printable ASCII, no user, no fragment, at most OIDC_URL - 1 bytes. ret may be NULL. -EINVAL. */
int oidc_url(const char *s, struct dest *ret);

/* All -EINVAL with a message; ret untouched then. issuer: what was asked; the document must say exactly this. */
int oidc_issuer_decode(const char *json, size_t n, const char *issuer, struct oidc_issuer *ret, struct err *err);
int oidc_device_decode(const char *json, size_t n, struct oidc_device *ret, struct err *err);
int oidc_tokens_decode(const char *json, size_t n, struct oidc_tokens *ret, struct err *err);
int oidc_error_decode(const char *json, size_t n, struct oidc_error *ret, struct err *err);
/* The token of a registry's token service: "token", or else "access_token". dst has OIDC_TOKEN bytes. */
int oidc_registry_token_decode(const char *json, size_t n, char *dst, struct err *err);

#endif
