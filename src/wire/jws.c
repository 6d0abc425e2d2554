/* SPDX-License-Identifier: Apache-2.0
 *
 * jws: see jws.h. Enters: what a token endpoint and a key endpoint said.
 */
#include "wire/jws.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/str.h"
#include "wire/member.h"

/* --- base64url --- */

static int sextet(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

ssize_t jws_unbase64url(const char *s, size_t n, uint8_t *dst, size_t max)
{
	uint32_t v = 0;
	unsigned bits = 0;
	size_t len = 0;

	if (n % 4 == 1 || n / 4 * 3 + (n % 4 ? n % 4 - 1 : 0) > max)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		int six = sextet(s[i]);

		if (six < 0)
			return -EINVAL;
		v = (v << 6 | (uint32_t)six) & 0xffffff;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			dst[len++] = (uint8_t)(v >> bits);
		}
	}
	/* Bits that say nothing are zero. */
	return v & ((1U << bits) - 1) ? -EINVAL : (ssize_t)len;
}

/* --- signature --- */

static int bad(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, EINVAL, "the ID token has no valid %s", what);
}

static int read_header(const char *json, size_t n, struct jws *ret, struct err *err)
{
	auto_(member_root) json_t *o = NULL;
	char alg[32];

	if (member_parse(json, n, "the ID token's header", &o, err) < 0)
		return -EINVAL;
	if (member_text(o, "alg", alg, sizeof(alg)) < 0)
		return bad(err, "algorithm");
	if (!str_eq(alg, "RS256") && !str_eq(alg, "ES256"))
		return err_set(err, ERR_INVALID, EINVAL, "the ID token's algorithm is '%s': only RS256 and ES256 are accepted", alg);
	ret->alg = alg[0] == 'R' ? JWS_RS256 : JWS_ES256;
	if (json_object_get(o, "crit"))
		return bad(err, "header: it has a critical extension");
	return member_text(o, "kid", ret->kid, sizeof(ret->kid)) == -EINVAL ? bad(err, "key identifier") : 0;
}

static int read_signature(const char *text, size_t n, struct jws *ret)
{
	ssize_t len = jws_unbase64url(text, n, ret->signature, sizeof(ret->signature));

	if (len < 0 || (ret->alg == JWS_ES256 && len != 64) || (ret->alg == JWS_RS256 && len < JWS_RSA_MIN_BYTES))
		return -EINVAL;
	ret->signature_len = (size_t)len;
	return 0;
}

static int read_parts(const char *text, size_t n, struct jws *s, struct err *err)
{
	const char *dot = n ? memchr(text, '.', n) : NULL,
		   *second = dot ? memchr(dot + 1, '.', (size_t)(text + n - dot - 1)) : NULL;
	ssize_t len;
	int r;

	if (!second || n > JWS_MAX_BYTES)
		return bad(err, "form");
	/* The payload's place holds the header first: it is read, and then overwritten. */
	len = jws_unbase64url(text, (size_t)(dot - text), (uint8_t *)s->payload, sizeof(s->payload));
	if (len < 0)
		return bad(err, "header");
	r = read_header(s->payload, (size_t)len, s, err);
	if (r < 0)
		return r;
	memset(s->payload, 0, (size_t)len);
	len = jws_unbase64url(dot + 1, (size_t)(second - dot - 1), (uint8_t *)s->payload, sizeof(s->payload));
	if (len < 0)
		return bad(err, "payload");
	s->payload_len = (size_t)len;
	s->signed_len = (size_t)(second - text);
	return read_signature(second + 1, (size_t)(text + n - second - 1), s) < 0 ? bad(err, "signature") : 0;
}

int jws_decode(const char *text, size_t n, struct jws *ret, struct err *err)
{
	auto_free struct jws *s = calloc(1, sizeof(*s));
	int r = s ? read_parts(text, n, s, err) : err_errno(err, ENOMEM, "the ID token");

	if (r == 0)
		*ret = *s;
	return r;
}

/* --- claims --- */

static int one_audience(const json_t *v, struct jws_claims *c)
{
	const char *s = json_string_value(v);

	if (!s || strlen(s) != json_string_length(v) || c->naudience == JWS_AUDIENCES_MAX)
		return -EINVAL;
	return str_format(c->audience[c->naudience++], JWS_CLIENT, "%s", s);
}

static int read_audience(const json_t *v, struct jws_claims *c)
{
	const json_t *one;
	size_t i;

	if (!json_is_array(v))
		return one_audience(v, c);
	json_array_foreach(v, i, one)
		if (one_audience(one, c) < 0)
			return -EINVAL;
	return 0;
}

/* Seconds since 1970; some write a fraction. */
static int seconds(const json_t *o, const char *key, int64_t *ret)
{
	const json_t *v = json_object_get(o, key);
	double d = json_number_value(v);

	if (!v)
		return -ENOENT;
	if (!json_is_number(v) || !(d > 0 && d < 1e12))
		return -EINVAL;
	*ret = (int64_t)d;
	return 0;
}

int jws_claims_decode(const char *json, size_t n, struct jws_claims *ret, struct err *err)
{
	auto_(member_root) json_t *o = NULL;
	struct jws_claims c = { 0 };

	if (member_parse(json, n, "the ID token's payload", &o, err) < 0)
		return -EINVAL;
	if (member_word(o, "iss", c.issuer, sizeof(c.issuer)) < 0)
		return bad(err, "issuer");
	if (member_text(o, "sub", c.subject, sizeof(c.subject)) < 0 || !c.subject[0])
		return bad(err, "subject");
	if (read_audience(json_object_get(o, "aud"), &c) < 0)
		return bad(err, "audience");
	if (member_text(o, "azp", c.party, sizeof(c.party)) == -EINVAL)
		return bad(err, "authorized party");
	if (seconds(o, "exp", &c.expires) < 0)
		return bad(err, "expiry");
	if (seconds(o, "iat", &c.issued) < 0 || seconds(o, "nbf", &c.not_before) == -EINVAL)
		return bad(err, "time of issue");
	/* Only shown: one that is not printable is as none. */
	(void)member_text(o, "email", c.email, sizeof(c.email));
	*ret = c;
	return 0;
}

static int refused(struct err *err, const char *why)
{
	return err_set(err, ERR_DENIED, EACCES, "the ID token %s", why);
}

int jws_claims_check(const struct jws_claims *c, const char *issuer, const char *client, int64_t now, struct err *err)
{
	bool ours = false;

	if (!str_eq(c->issuer, issuer))
		return refused(err, "is of another issuer");
	for (size_t i = 0; i < c->naudience; i++)
		ours = ours || str_eq(c->audience[i], client);
	if (!ours)
		return refused(err, "is meant for another client");
	if ((c->naudience > 1 || c->party[0]) && !str_eq(c->party, client))
		return refused(err, "was issued to another client");
	if (c->expires + JWS_SKEW_S <= now)
		return refused(err, "has expired: are this host's clock and the issuer's right?");
	if (c->issued > now + JWS_SKEW_S || c->not_before > now + JWS_SKEW_S)
		return refused(err, "is of the future: are this host's clock and the issuer's right?");
	return 0;
}

/* --- keys --- */

/* Big-endian without leading zeros; their number, or -EINVAL. */
static ssize_t number(const json_t *o, const char *key, uint8_t *dst, size_t max)
{
	const json_t *v = json_object_get(o, key);
	ssize_t n = json_is_string(v) ? jws_unbase64url(json_string_value(v), json_string_length(v), dst, max) : -EINVAL, zeros = 0;

	while (zeros < n && dst[zeros] == 0)
		zeros++;
	if (n <= zeros)
		return -EINVAL;
	memmove(dst, dst + zeros, (size_t)(n - zeros));
	memset(dst + n - zeros, 0, (size_t)zeros);
	return n - zeros;
}

static int read_rsa(const json_t *o, struct jws_key *k)
{
	ssize_t n = number(o, "n", k->n, sizeof(k->n)), e = number(o, "e", k->e, sizeof(k->e));

	if (n < JWS_RSA_MIN_BYTES || e <= 0)
		return -EINVAL;
	k->alg = JWS_RS256;
	k->n_len = (size_t)n;
	k->e_len = (size_t)e;
	return 0;
}

static int read_ec(const json_t *o, struct jws_key *k)
{
	const json_t *x = json_object_get(o, "x"), *y = json_object_get(o, "y");
	char curve[16];

	if (member_text(o, "crv", curve, sizeof(curve)) < 0 || !str_eq(curve, "P-256") || !json_is_string(x) || !json_is_string(y) ||
	    jws_unbase64url(json_string_value(x), json_string_length(x), k->x, sizeof(k->x)) != 32 ||
	    jws_unbase64url(json_string_value(y), json_string_length(y), k->y, sizeof(k->y)) != 32)
		return -EINVAL;
	k->alg = JWS_ES256;
	return 0;
}

static int read_key(const json_t *o, struct jws_key *k)
{
	char kty[16], use[16], alg[32];
	int r = -EINVAL;

	if (member_text(o, "kty", kty, sizeof(kty)) < 0 || member_text(o, "kid", k->kid, sizeof(k->kid)) == -EINVAL)
		return -EINVAL;
	if (str_eq(kty, "RSA"))
		r = read_rsa(o, k);
	else if (str_eq(kty, "EC"))
		r = read_ec(o, k);
	if (r < 0 || (member_text(o, "use", use, sizeof(use)) != -ENOENT && !str_eq(use, "sig")))
		return -EINVAL;
	return member_text(o, "alg", alg, sizeof(alg)) == -ENOENT || str_eq(alg, k->alg == JWS_RS256 ? "RS256" : "ES256") ? 0 : -EINVAL;
}

int jws_keys_decode(const char *json, size_t n, struct jws_keys *ret, struct err *err)
{
	auto_(member_root) json_t *o = NULL;
	auto_free struct jws_keys *keys = calloc(1, sizeof(*keys));
	const json_t *list, *one;
	size_t i;

	if (!keys)
		return err_errno(err, ENOMEM, "the issuer's keys");
	if (member_parse(json, n, "the issuer's set of keys", &o, err) < 0)
		return -EINVAL;
	list = json_object_get(o, "keys");
	if (!json_is_array(list) || json_array_size(list) > JWS_KEYS_MAX)
		return err_set(err, ERR_INVALID, EINVAL, "the issuer's set of keys has no valid list of at most %d", JWS_KEYS_MAX);
	json_array_foreach(list, i, one) {
		struct jws_key *k = &keys->of[keys->n];

		memset(k, 0, sizeof(*k));
		if (read_key(one, k) == 0)
			keys->n++;
		else
			memset(k, 0, sizeof(*k));
	}
	*ret = *keys;
	return 0;
}
