/* SPDX-License-Identifier: Apache-2.0
 *
 * jws: ID tokens and the keys they are signed with: the compact form of a JSON web signature (RFC 7515, 7.1), the claims of
 * OpenID Connect Core 1.0, section 2, and a set of JSON web keys (RFC 7517, 7518). Only RS256 and ES256: `none`, symmetric
 * algorithms and a critical extension are refused when the header is read. Nothing is verified here but form and claims:
 * whoever has a struct jws checks its signature (login/verify.h) before a claim is believed. No I/O.
 */
#ifndef SBX_WIRE_JWS_H
#define SBX_WIRE_JWS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define JWS_MAX_BYTES 16384
#define JWS_ID 257 /* of a key */
#define JWS_ISSUER 513
#define JWS_SUBJECT 256 /* OpenID Connect Core 1.0, section 2: at most 255 bytes */
#define JWS_CLIENT 129
#define JWS_AUDIENCES_MAX 8
#define JWS_KEYS_MAX 32
#define JWS_RSA_MIN_BYTES 256
#define JWS_RSA_MAX_BYTES 1024
#define JWS_SKEW_S 60 /* by how much clocks may differ */

enum jws_alg { JWS_RS256, JWS_ES256 };

struct jws {
	enum jws_alg alg;
	char kid[JWS_ID];  /* "": not said */
	size_t signed_len; /* of the text's first bytes, which the signature is of */
	uint8_t signature[JWS_RSA_MAX_BYTES]; /* ES256: r and s, 32 bytes each (RFC 7518, 3.4) */
	size_t signature_len;
	char payload[JWS_MAX_BYTES];
	size_t payload_len;
};

struct jws_claims {
	char issuer[JWS_ISSUER];
	char subject[JWS_SUBJECT];
	char email[JWS_SUBJECT]; /* "": not said */
	char party[JWS_CLIENT];  /* azp; "": not said */
	char audience[JWS_AUDIENCES_MAX][JWS_CLIENT];
	size_t naudience;
	int64_t expires, issued, not_before; /* seconds since 1970; not_before 0: not said */
};

struct jws_key {
	enum jws_alg alg;
	char kid[JWS_ID];
	uint8_t n[JWS_RSA_MAX_BYTES], e[8]; /* RSA: big-endian, without leading zeros */
	size_t n_len, e_len;
	uint8_t x[32], y[32]; /* P-256 */
};

struct jws_keys {
	struct jws_key of[JWS_KEYS_MAX];
	size_t n;
};

/* -EINVAL with a message; ret is untouched then. */
int jws_decode(const char *text, size_t n, struct jws *ret, struct err *err);
int jws_claims_decode(const char *json, size_t n, struct jws_claims *ret, struct err *err);
/* Whether claims are meant for this client of this issuer, and now. -EACCES, ERR_DENIED. */
int jws_claims_check(const struct jws_claims *c, const char *issuer, const char *client, int64_t now, struct err *err);
/* The keys that can verify one of the two algorithms; others are passed over. -EINVAL where it is no set, or has too many. */
int jws_keys_decode(const char *json, size_t n, struct jws_keys *ret, struct err *err);

/* Base64url without padding, the one spelling only (RFC 7515, section 2): bytes, or -EINVAL. */
ssize_t jws_unbase64url(const char *s, size_t n, uint8_t *dst, size_t max);

#endif
