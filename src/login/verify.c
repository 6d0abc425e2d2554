/* SPDX-License-Identifier: Apache-2.0
 *
 * verify: see verify.h.
 */
#include "login/verify.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"

DEFINE_AUTO(pkey, EVP_PKEY *, EVP_PKEY_free);
DEFINE_AUTO(context, EVP_PKEY_CTX *, EVP_PKEY_CTX_free);
DEFINE_AUTO(digest, EVP_MD_CTX *, EVP_MD_CTX_free);

static EVP_PKEY *make(const char *type, OSSL_PARAM *params)
{
	auto_(context) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *key = NULL;

	if (!ctx || EVP_PKEY_fromdata_init(ctx) <= 0 || EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) <= 0)
		return NULL;
	return key;
}

static EVP_PKEY *make_rsa(const struct jws_key *k)
{
	BIGNUM *n = BN_bin2bn(k->n, (int)k->n_len, NULL), *e = BN_bin2bn(k->e, (int)k->e_len, NULL);
	OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	EVP_PKEY *key = NULL;

	if (n && e && b && OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, n) && OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, e))
		params = OSSL_PARAM_BLD_to_param(b);
	if (params)
		key = make("RSA", params);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(b);
	BN_free(n);
	BN_free(e);
	return key;
}

/* The point is checked to be on the curve. */
static EVP_PKEY *make_ec(const struct jws_key *k)
{
	char group[] = "P-256";
	uint8_t point[65] = { 4 };
	OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
				OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)),
				OSSL_PARAM_construct_end() };

	memcpy(point + 1, k->x, sizeof(k->x));
	memcpy(point + 33, k->y, sizeof(k->y));
	return make("EC", params);
}

/* r and s to what OpenSSL takes: a DER SEQUENCE. Bytes, or -1. */
static int ecdsa_der(const struct jws *s, unsigned char **ret)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(s->signature, 32, NULL), *t = BN_bin2bn(s->signature + 32, 32, NULL);
	int n = -1;

	if (sig && r && t && ECDSA_SIG_set0(sig, r, t)) {
		r = t = NULL;
		n = i2d_ECDSA_SIG(sig, ret);
	}
	BN_free(r);
	BN_free(t);
	ECDSA_SIG_free(sig);
	return n;
}

static bool is_by(const char *text, const struct jws *s, const struct jws_key *k)
{
	auto_(pkey) EVP_PKEY *key = k->alg == JWS_RS256 ? make_rsa(k) : make_ec(k);
	auto_(digest) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char *der = NULL;
	int n = k->alg == JWS_ES256 ? ecdsa_der(s, &der) : 0;
	bool good;

	good = key && ctx && n >= 0 && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) > 0 &&
	       EVP_DigestVerify(ctx, der ? der : s->signature, der ? (size_t)n : s->signature_len, (const unsigned char *)text,
				s->signed_len) == 1;
	OPENSSL_free(der);
	return good;
}

int verify(const char *text, const struct jws *s, const struct jws_keys *keys, struct err *err)
{
	bool any = false;

	for (size_t i = 0; i < keys->n; i++) {
		const struct jws_key *k = &keys->of[i];

		if (k->alg != s->alg || (s->kid[0] && !str_eq(k->kid, s->kid)))
			continue;
		any = true;
		if (is_by(text, s, k))
			return 0;
	}
	return err_set(err, ERR_DENIED, EACCES, "%s",
		       any ? "the ID token's signature is not the issuer's" : "the ID token is signed with a key that the issuer does not publish");
}
