/* SPDX-License-Identifier: Apache-2.0
 *
 * An agent's file for a sandbox that is signed in.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "unit.h"
#include "wire/oauthbody.h"

/* {"email":"a\"b@example.com","exp":7,"x/auth":{"account":"acc-1","n":1}} */
#define CLAIMS "eyJlbWFpbCI6ImFcImJAZXhhbXBsZS5jb20iLCJleHAiOjcsIngvYXV0aCI6eyJhY2NvdW50IjoiYWNjLTEiLCJuIjoxfX0"

static const struct oauthmsg_given given = { .access = "acc\"ess", .refresh = "refresh", .id = "e30." CLAIMS ".placeholder" };

static const struct {
	const char *text, *wanted;
} cases[] = {
	{ "", "" },
	{ "plain $ and ${ and ${} and ${X}", "plain $ and ${ and ${} and ${X}" },
	{ "\"${ACCESS_TOKEN}\" ${REFRESH_TOKEN}$", "\"acc\\\"ess\" refresh$" },
	{ "${ID_TOKEN}", "e30." CLAIMS ".placeholder" },
	{ "<${ID_TOKEN email}>", "<a\\\"b@example.com>" },
	{ "<${ID_TOKEN exp}>", "<>" },
	{ "<${ID_TOKEN x/auth account}>", "<acc-1>" },
	{ "<${ID_TOKEN x/auth n}>", "<>" },
	{ "<${ID_TOKEN x/auth}>", "<>" },
	{ "<${ID_TOKEN nobody knows}>", "<>" },
	{ "${ID_TOKEN email", "${ID_TOKEN email" },
	{ "${ID_TOKENS}${access_token}", "${ID_TOKENS}${access_token}" },
};

static void variables(void **state)
{
	struct buf out;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		buf_init(&out, 4096);
		assert_int_equal(oauthbody_expand(cases[i].text, &given, &out), 0);
		assert_string_equal(buf_cstr(&out), cases[i].wanted);
		buf_done(&out);
	}
}

static void what_is_not_there(void **state)
{
	static const struct oauthmsg_given none = { .access = "opaque", .id = "not.a-token" };
	char longer[400];
	struct buf out;

	buf_init(&out, 4096);
	assert_int_equal(oauthbody_expand("<${REFRESH_TOKEN}><${ID_TOKEN email}>", &none, &out), 0);
	assert_string_equal(buf_cstr(&out), "<><>");
	buf_done(&out);
	memset(longer, 'x', sizeof(longer));
	memcpy(longer, "${ID_TOKEN ", 11);
	(void)snprintf(longer + sizeof(longer) - 2, 2, "}");
	buf_init(&out, 4096);
	assert_int_equal(oauthbody_expand(longer, &none, &out), 0);
	assert_string_equal(buf_cstr(&out), longer);
	buf_done(&out);
	buf_init(&out, 8);
	assert_int_equal(oauthbody_expand("${ID_TOKEN}", &given, &out), -EMSGSIZE);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(variables), cmocka_unit_test(what_is_not_there) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
