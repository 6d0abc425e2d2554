/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_jws: the same bytes as a signed token, as claims, as a set of keys and as base64url. What is taken is within its bounds, and an
 * algorithm is one of two.
 */
#include <assert.h>
#include <string.h>

#include "base/own.h"
#include "wire/jws.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void signature(const char *text, size_t n)
{
	static struct jws s;

	if (jws_decode(text, n, &s, NULL) < 0)
		return;
	assert(s.alg == JWS_RS256 || s.alg == JWS_ES256);
	assert(s.signed_len < n && text[s.signed_len] == '.');
	assert(s.alg == JWS_ES256 ? s.signature_len == 64 :
				    s.signature_len >= JWS_RSA_MIN_BYTES && s.signature_len <= sizeof(s.signature));
	assert(s.payload_len <= sizeof(s.payload) && strnlen(s.kid, sizeof(s.kid)) < sizeof(s.kid));
}

static void claims(const char *text, size_t n)
{
	struct jws_claims c;

	if (jws_claims_decode(text, n, &c, NULL) < 0)
		return;
	assert(c.subject[0] && c.expires > 0 && c.issued > 0 && c.naudience <= JWS_AUDIENCES_MAX);
	/* Whoever is meant by it, it is of no use when it has expired. */
	assert(jws_claims_check(&c, c.issuer, c.audience[0], c.expires + JWS_SKEW_S, NULL) < 0);
	assert(jws_claims_check(&c, "another", c.audience[0], 1, NULL) < 0);
}

static void keys(const char *text, size_t n)
{
	static struct jws_keys k;

	if (jws_keys_decode(text, n, &k, NULL) < 0)
		return;
	assert(k.n <= JWS_KEYS_MAX);
	for (size_t i = 0; i < k.n; i++)
		assert(k.of[i].alg == JWS_ES256 || (k.of[i].n_len >= JWS_RSA_MIN_BYTES && k.of[i].n[0] && k.of[i].e_len && k.of[i].e[0]));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	const char *text = (const char *)bytes;
	/* Exactly as much room as it may take. */
	auto_free uint8_t *room = malloc(n + 1);

	signature(text, n);
	claims(text, n);
	keys(text, n);
	if (room)
		assert(jws_unbase64url(text, n, room, n / 4 * 3) <= (ssize_t)(n / 4 * 3));
	return 0;
}
