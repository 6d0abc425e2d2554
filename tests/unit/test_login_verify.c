/* SPDX-License-Identifier: Apache-2.0
 *
 * ID tokens: signatures of two algorithms by OpenSSL, and each claim that is checked. The tokens and keys below were made by another
 * library (Python's cryptography).
 */
#include "login/verify.h"

#include <errno.h>

#include "base/own.h"
#include "base/str.h"
#include "unit.h"

#define RS \
"eyJhbGciOiAiUlMyNTYiLCAia2lkIjogInIifQ.eyJpc3MiOiAiaHR0cHM6Ly9pc3N1ZXIudGVzdCIsICJzdWIiOiAiYWxpY2UiLCAiYXVkIjo" \
	"gInNieCIsICJleHAiOiAyMDAwMDAwMDAwLCAiaWF0IjogMTcwMDAwMDAwMCwgImVtYWlsIjogImFAaXNzdWVyLnRlc3QifQ.J5vSZOyKIij_6m" \
	"v46Yrkxaiqa_mqZK40nPhCDfG8cs6WD5oJEpIYeqG4dUi4KuRb_hh9fWHNRfwxSISg1TM2jvvC8hVzzrkjMcfzDkjjo1wqxYFTKqrfS3ZJRFKW" \
	"wg9uViVgxvJwe4jAJAHlFHK29kQunarBxST5A8idJ9rHbibcshyTpueqNRLkDq5sO7uCli2zarA-Fx0zzo-cvZ4u23YfVq2-t7gHM2EtAQae9q" \
	"2cs7tOc9sAmCtt9_IXPMfNCIsRqUCSevXftl58Fo976WCLoqpndVYmIh6UWjapjTqAYrQxlgiV-J-x-NAJxRfwYv713BFeoPEQ59RAM5YB2Q"
#define ES \
"eyJhbGciOiAiRVMyNTYiLCAia2lkIjogImUifQ.eyJpc3MiOiAiaHR0cHM6Ly9pc3N1ZXIudGVzdCIsICJzdWIiOiAiYWxpY2UiLCAiYXVkIjo" \
	"gInNieCIsICJleHAiOiAyMDAwMDAwMDAwLCAiaWF0IjogMTcwMDAwMDAwMCwgImVtYWlsIjogImFAaXNzdWVyLnRlc3QifQ.u-d39La8Dk2MyC" \
	"6hSHNzcLoWOSvQqtPmh8fDw7mzMXIbO7OmTWNmKUTJr66KAZ4GyqNoN1arVx6-mirrLJxOow"
#define KEYS \
"{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"use\":\"sig\",\"alg\":\"RS256\",\"n\":\"hYPoHTFMXBpO64LOm3dlwVda8bL" \
	"kUeHNRuldPJYT4rDk0eXmwcPLsL-Pld1NhExjcSsal4oQjg1Os2iySTCc2JWUY51Ez8fcZCdCDICs9HvGiT6POK5vU" \
	"VyCPZRp2BwahFjbo29a_ZtaEeCDjBOdzvs8RHh0BfRx-22nc45GWQuw-y-fvq2K1yPYdd9u-qY6qPLubZgF9Gd2RgK" \
	"rBN4lZzbXXqWovno4jDo6fQ6RfBkP6gujjhWuSOKqWxa3AExp4Qq_N9yBLI25Q0tMk2GgUWhnuOX-IEkHA9FxWkwu5" \
	"N4Snr5v0UvT7DyOsBUEALl5RpRCjNjwhUTJnFYKRkj_yQ\",\"e\":\"AQAB\"},{\"kty\":\"EC\",\"kid\":\"e\",\"crv\":\"P-" \
	"256\",\"x\":\"pb53k5LwU8H1kSJ9xj5aSm40LmAteNZ5vnnP6UQa6N8\",\"y\":\"aPRK9KWQ_ybsvACaRgAwzwKyoeRRew" \
	"9w16LoS7HoFlQ\"},{\"kty\":\"oct\",\"k\":\"AAAA\"}]}"

#define NOW 1800000000

static struct jws_keys keys;
static struct jws parsed;

static int setup(void **state)
{
	return jws_keys_decode(KEYS, strlen(KEYS), &keys, NULL);
}

static int check(const char *token, struct err *err)
{
	int r = jws_decode(token, strlen(token), &parsed, err);

	return r < 0 ? r : verify(token, &parsed, &keys, err);
}

static void both_algorithms(void **state)
{
	struct jws_claims c;

	assert_int_equal(keys.n, 2);
	assert_int_equal(check(ES, NULL), 0);
	assert_int_equal(parsed.alg, JWS_ES256);
	assert_int_equal(check(RS, NULL), 0);
	assert_int_equal(parsed.alg, JWS_RS256);
	assert_int_equal(jws_claims_decode(parsed.payload, parsed.payload_len, &c, NULL), 0);
	assert_string_equal(c.subject, "alice");
	assert_int_equal(jws_claims_check(&c, "https://issuer.test", "sbx", NOW, NULL), 0);
}

static void every_change_is_noticed(void **state)
{
	char text[sizeof(RS)];
	struct err err = { 0 };

	memcpy(text, RS, sizeof(text));
	for (size_t i = 0; i < sizeof(RS) - 1; i += 7) {
		text[i] = RS[i] == 'A' ? 'B' : 'A';
		if (RS[i] != '.' && check(text, &err) == 0)
			fail_msg("byte %zu can be changed", i);
		text[i] = RS[i];
	}
	assert_int_equal(check(text, NULL), 0);
}

static void another_key_or_none(void **state)
{
	struct jws_keys *few = calloc(1, sizeof(*few));
	struct err err = { 0 };

	assert_non_null(few);
	assert_int_equal(jws_decode(RS, strlen(RS), &parsed, NULL), 0);
	assert_int_equal(verify(RS, &parsed, few, &err), -EACCES);
	assert_non_null(strstr(err.msg, "does not publish"));
	*few = keys;
	few->of[0].n[9] ^= 1;
	assert_int_equal(verify(RS, &parsed, few, &err), -EACCES);
	assert_non_null(strstr(err.msg, "signature"));
	/* A point that is not on the curve is no key. */
	few->of[1].y[31] ^= 1;
	assert_int_equal(jws_decode(ES, strlen(ES), &parsed, NULL), 0);
	assert_int_equal(verify(ES, &parsed, few, &err), -EACCES);
	free(few);
}

static void other_algorithms_are_refused(void **state)
{
	/* {"alg":"none"}, {"alg":"HS256"}, {"alg":"RS256","crit":["exp"]}, {"alg":"ES256"} with 3 bytes of signature */
	static const char *const bad[] = { "eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJIUzI1NiJ9.e30.AAAA",
					   "eyJhbGciOiJSUzI1NiIsImNyaXQiOlsiZXhwIl19.e30.AAAA", "eyJhbGciOiJFUzI1NiJ9.e30.AAAA",
					   "eyJhbGciOiJFUzI1NiJ9.e30", "", "..", "e30.e30." };
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		err = (struct err){ 0 };
		if (check(bad[i], &err) != -EINVAL || !err.msg[0])
			fail_msg("'%s' is taken", bad[i]);
	}
	assert_int_equal(check(bad[0], &err), -EINVAL);
	assert_non_null(strstr(err.msg, "'none'"));
}

static void claims_are_for_us_and_now(void **state)
{
	static const struct {
		const char *json, *why;
	} bad[] = {
		{ "\"iss\":\"https://other.test\",\"aud\":\"sbx\",\"exp\":1800000100,\"iat\":1800000000", "issuer" },
		{ "\"iss\":\"https://issuer.test\",\"aud\":\"other\",\"exp\":1800000100,\"iat\":1800000000", "client" },
		{ "\"iss\":\"https://issuer.test\",\"aud\":[\"sbx\",\"b\"],\"exp\":1800000100,\"iat\":1800000000", "client" },
		{ "\"iss\":\"https://issuer.test\",\"aud\":\"sbx\",\"azp\":\"b\",\"exp\":1800000100,\"iat\":1800000000", "client" },
		{ "\"iss\":\"https://issuer.test\",\"aud\":\"sbx\",\"exp\":1799999940,\"iat\":1799999000", "expired" },
		{ "\"iss\":\"https://issuer.test\",\"aud\":\"sbx\",\"exp\":1800000100,\"iat\":1800000061", "future" },
		{ "\"iss\":\"https://issuer.test\",\"aud\":\"sbx\",\"exp\":1800000900,\"iat\":1800000000,\"nbf\":1800000061", "future" },
	};
	struct jws_claims c;
	struct err err = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		auto_free char *json = str_new("{\"sub\":\"a\",%s}", bad[i].json);

		assert_int_equal(jws_claims_decode(json, strlen(json), &c, NULL), 0);
		assert_int_equal(jws_claims_check(&c, "https://issuer.test", "sbx", NOW, &err), -EACCES);
		if (!strstr(err.msg, bad[i].why))
			fail_msg("%s: %s", bad[i].json, err.msg);
	}
}

static void claims_of_another_form(void **state)
{
	static const char *const bad[] = {
		"[]",
		"{\"sub\":\"a\",\"aud\":\"sbx\",\"exp\":1,\"iat\":1}",
		"{\"iss\":\"i\",\"sub\":\"\",\"aud\":\"sbx\",\"exp\":1,\"iat\":1}",
		"{\"iss\":\"i\",\"sub\":\"\\u001b[2J\",\"aud\":\"sbx\",\"exp\":1,\"iat\":1}",
		"{\"iss\":\"i\",\"sub\":\"a\",\"exp\":1,\"iat\":1}",
		"{\"iss\":\"i\",\"sub\":\"a\",\"aud\":[1],\"exp\":1,\"iat\":1}",
		"{\"iss\":\"i\",\"sub\":\"a\",\"aud\":\"sbx\",\"exp\":\"1\",\"iat\":1}",
		"{\"iss\":\"i\",\"sub\":\"a\",\"aud\":\"sbx\",\"exp\":1e300,\"iat\":1}",
		"{\"iss\":\"i\",\"sub\":\"a\",\"aud\":\"sbx\",\"exp\":1}",
		"{\"iss\":\"i\",\"iss\":\"j\",\"sub\":\"a\",\"aud\":\"sbx\",\"exp\":1,\"iat\":1}",
	};
	struct jws_claims c;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (jws_claims_decode(bad[i], strlen(bad[i]), &c, NULL) != -EINVAL)
			fail_msg("%s is taken", bad[i]);
}

static void one_spelling(void **state)
{
	uint8_t b[8];

	assert_int_equal(jws_unbase64url("-_8", 3, b, 2), 2);
	assert_true(b[0] == 0xfb && b[1] == 0xff);
	assert_int_equal(jws_unbase64url("", 0, b, 0), 0);
	assert_int_equal(jws_unbase64url("A", 1, b, 8), -EINVAL);
	assert_int_equal(jws_unbase64url("-_9", 3, b, 8), -EINVAL);
	assert_int_equal(jws_unbase64url("+/8", 3, b, 8), -EINVAL);
	assert_int_equal(jws_unbase64url("AA==", 4, b, 8), -EINVAL);
	assert_int_equal(jws_unbase64url("AAAA", 4, b, 2), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_algorithms),	     cmocka_unit_test(every_change_is_noticed),
		cmocka_unit_test(another_key_or_none),	     cmocka_unit_test(other_algorithms_are_refused),
		cmocka_unit_test(claims_are_for_us_and_now), cmocka_unit_test(claims_of_another_form),
		cmocka_unit_test(one_spelling),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
