/* SPDX-License-Identifier: Apache-2.0
 *
 * The sign-ins that are built in: they are what the keeper takes, and the endpoints that the agents have.
 */
#include "daemon/signins.h"

#include "unit.h"
#include "wire/oauthdef.h"

static struct env_dirs dirs;

static void they_are_what_the_keeper_takes(void **state)
{
	static struct oauthdef_list l;
	const struct oauthdef *d = NULL;
	struct err err = { 0 };
	struct dest to;
	json_t *list = signins_json(&dirs, &err);

	assert_non_null(list);
	assert_int_equal(oauthdef_read_list(list, &l, &err), 0);
	json_decref(list);
	assert_int_equal(dest_make("platform.claude.com", 19, 443, DEST_HTTPS, &to), DEST_OK);
	assert_true(oauthdef_has_host(&l, &to));
	assert_int_equal(oauthdef_use(&l, &to, "/v1/oauth/token", &d), OAUTHDEF_TOKEN);
	assert_string_equal(d->service, "anthropic-oauth");
	assert_int_equal(oauthdef_use(&l, &to, "/v1/oauth/Token/", &d), OAUTHDEF_ALMOST);
	assert_int_equal(oauthdef_use(&l, &to, "/v1%2Foauth/token%2F", &d), OAUTHDEF_ALMOST);
	assert_int_equal(oauthdef_use(&l, &to, "/v1%2Foauth/tokens", &d), OAUTHDEF_NONE);
	assert_int_equal(oauthdef_use(&l, &to, "/v1/oauth/tokens", &d), OAUTHDEF_NONE);
	assert_int_equal(dest_make("auth.openai.com", 15, 443, DEST_HTTPS, &to), DEST_OK);
	assert_int_equal(oauthdef_use(&l, &to, "/oauth/revoke", &d), OAUTHDEF_REVOKE);
	assert_int_equal(dest_make("api.anthropic.com", 17, 443, DEST_HTTPS, &to), DEST_OK);
	assert_int_equal(oauthdef_use(&l, &to, "/api/oauth/claude_cli/create_api_key", &d), OAUTHDEF_REFUSED);
	assert_int_equal(dest_make("api.github.com", 14, 443, DEST_HTTPS, &to), DEST_OK);
	assert_int_equal(oauthdef_use(&l, &to, "/copilot_internal/v2/token", &d), OAUTHDEF_REFUSED);
	assert_int_equal(oauthdef_use(&l, &to, "/copilot_internal/user", &d), OAUTHDEF_NONE);
	assert_string_equal(d->service, "github-exchange");
	assert_int_equal(dest_make("platform.claude.com", 19, 8443, DEST_HTTPS, &to), DEST_OK);
	assert_true(oauthdef_has_host(&l, &to));
	assert_int_equal(oauthdef_use(&l, &to, "/v1/oauth/token", &d), OAUTHDEF_ALMOST);
	assert_int_equal(oauthdef_use(&l, &to, "/v1/messages", &d), OAUTHDEF_NONE);
}

/* Together they fit into what a new sandbox's supervisor says to the keeper. */
static void they_are_written_as_they_are_read(void **state)
{
	static struct oauthdef_list a, b;
	json_t *list = signins_json(&dirs, NULL), *again;

	assert_int_equal(oauthdef_read_list(list, &a, NULL), 0);
	again = oauthdef_write_list(&a);
	assert_int_equal(oauthdef_read_list(again, &b, NULL), 0);
	assert_memory_equal(&a, &b, sizeof(a));
	json_decref(list);
	json_decref(again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_are_what_the_keeper_takes),
		cmocka_unit_test(they_are_written_as_they_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
