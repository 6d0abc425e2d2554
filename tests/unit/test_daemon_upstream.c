/* SPDX-License-Identifier: Apache-2.0
 *
 * upstream: the settings come before the environment, small letters before capitals, and what is no proxy is none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/own.h"
#include "base/str.h"
#include "daemon/upstream.h"

static const char *const names[] = { "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY" };

static int clear(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)unsetenv(names[i]);
	return 0;
}

static void is(const struct settings *set, const char *want)
{
	json_t *o = upstream_json(set);
	auto_free char *got = json_dumps(o, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);

	json_decref(o);
	assert_string_equal(got, want);
}

static void nothing_is_set(void **state)
{
	struct settings set = { .stop_grace_ms = 0 };

	is(&set, "null");
	(void)setenv("no_proxy", "example.com", 1);
	is(&set, "null");
}

static void the_environment(void **state)
{
	struct settings set = { .stop_grace_ms = 0 };

	(void)setenv("HTTPS_PROXY", "http://capitals:1", 1);
	is(&set, "{\"http\":null,\"https\":\"http://capitals:1\",\"no_proxy\":null}");
	(void)setenv("https_proxy", "small:2", 1);
	(void)setenv("NO_PROXY", "a,b", 1);
	is(&set, "{\"http\":null,\"https\":\"http://small:2\",\"no_proxy\":\"a,b\"}");
	(void)setenv("https_proxy", "socks5://small:2", 1);
	is(&set, "null");
}

static void settings_come_first(void **state)
{
	struct settings set = { .https_proxy = "http://set:1", .http_proxy = "none", .no_proxy = "none" };

	(void)setenv("https_proxy", "http://env:1", 1);
	(void)setenv("http_proxy", "http://env:2", 1);
	(void)setenv("no_proxy", "x", 1);
	is(&set, "{\"http\":null,\"https\":\"http://set:1\",\"no_proxy\":null}");
}

static void what_is_a_url(void **state)
{
	assert_true(upstream_is_url("http://proxy"));
	assert_true(upstream_is_url("HTTP://u:p@proxy:3128/"));
	assert_false(upstream_is_url("http://"));
	assert_false(upstream_is_url("https://proxy"));
	assert_false(upstream_is_url("proxy:3128"));
	assert_false(upstream_is_url("http://a b"));
	assert_false(upstream_is_url(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nothing_is_set, clear),
		cmocka_unit_test_setup(the_environment, clear),
		cmocka_unit_test_setup(settings_come_first, clear),
		cmocka_unit_test_setup(what_is_a_url, clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
