/* SPDX-License-Identifier: Apache-2.0
 *
 * WWW-Authenticate: the forms of RFC 9110, 11.6.1, and what is none of them.
 */
#include "wire/challenge.h"

#include <errno.h>

#include "base/own.h"
#include "unit.h"

static int add(struct challenges *list, const char *s)
{
	return challenge_add(list, s, strlen(s));
}

static void schemes_and_parameters(void **state)
{
	struct challenges list = { 0 };
	const struct challenge *c;

	assert_int_equal(add(&list, "Newauth realm=\"apps\", type=1, title=\"Login to \\\"apps\\\"\", basic realm=simple"), 0);
	assert_int_equal(add(&list, "Bearer realm=\"https://auth.test/token\" , service=\"r.test\",scope=\"a:b,c\""), 0);
	assert_int_equal(list.n, 3);
	assert_int_equal(list.of[0].scheme, CHALLENGE_OTHER);
	c = challenge_find(&list, CHALLENGE_BASIC);
	assert_true(c && strcmp(c->realm, "simple") == 0);
	c = challenge_find(&list, CHALLENGE_BEARER);
	assert_non_null(c);
	assert_string_equal(c->realm, "https://auth.test/token");
	assert_string_equal(c->service, "r.test");
	assert_string_equal(c->scope, "a:b,c");
}

static void alone_and_with_token68(void **state)
{
	struct challenges list = { 0 };

	assert_int_equal(add(&list, " , Negotiate YII=, Basic , Bearer"), 0);
	assert_int_equal(list.n, 3);
	assert_int_equal(list.of[1].scheme, CHALLENGE_BASIC);
	assert_int_equal(list.of[2].scheme, CHALLENGE_BEARER);
	assert_int_equal(add(&list, ""), 0);
	assert_int_equal(list.n, 3);
}

static void what_is_none_leaves_the_list_alone(void **state)
{
	static const char *const bad[] = { "\"", "Basic realm=\"open", "Basic realm=\"a\\", "Basic realm=\"a\" realm2=x", "Basic realm=a, realm=b",
					   "Basic realm=\"\xc3\xa9\"", "Basic a=b, realm=", "=", "Basic; x", "Basic realm=\"a\x01\"" };
	struct challenges list = { 0 };
	char many[128] = "";

	assert_int_equal(add(&list, "Basic realm=x"), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (add(&list, bad[i]) != -EINVAL)
			fail_msg("'%s' is taken", bad[i]);
		assert_int_equal(list.n, 1);
	}
	for (size_t i = 0; i < CHALLENGE_MAX; i++)
		memcpy(many + strlen(many), "A b=c,", 7);
	assert_int_equal(add(&list, many), -E2BIG);
	assert_int_equal(list.n, 1);
}

static void a_long_value_is_refused(void **state)
{
	char text[CHALLENGE_TEXT + 32] = "Basic realm=";
	struct challenges list = { 0 };
	size_t at = strlen(text);

	memset(text + at, 'x', CHALLENGE_TEXT - 1);
	assert_int_equal(add(&list, text), 0);
	assert_int_equal(strlen(list.of[0].realm), CHALLENGE_TEXT - 1);
	text[at + CHALLENGE_TEXT - 1] = 'x';
	assert_int_equal(add(&list, text), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(schemes_and_parameters),
		cmocka_unit_test(alone_and_with_token68),
		cmocka_unit_test(what_is_none_leaves_the_list_alone),
		cmocka_unit_test(a_long_value_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
