/* SPDX-License-Identifier: Apache-2.0
 *
 * Names: what is legal, what the default is made of, what the guest is called.
 */
#include "daemon/name.h"

#include "base/own.h"
#include "base/str.h"
#include "unit.h"

static void legal_and_not(void **state)
{
	static const char *const good[] = {
		"ab",  "a1",   "shell-NetEscapades.EnumGenerators",
		"9_b", "a-.b", "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk"
	};
	static const char *const bad[] = { "",
					   "a",
					   "-ab",
					   ".ab",
					   "_ab",
					   "ab-",
					   "ab.",
					   "a b",
					   "a/b",
					   "a+b",
					   "default",
					   "a\nb",
					   "\xc3\xa4\xc3\xb6",
					   "..",
					   "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl" };
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_int_equal(name_check(good[i], NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		err = (struct err){ 0 };
		if (name_check(bad[i], &err) == 0)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_null(strchr(err.msg, '\n'));
	}
}

static void defaults(void **state)
{
	static const struct {
		const char *path;
		unsigned n;
		const char *want;
	} cases[] = {
		{ "/home/me/proj", 1, "shell-proj" },
		{ "/home/me/NetEscapades.EnumGenerators", 1, "shell-NetEscapades.EnumGenerators" },
		{ "/home/me/my project", 1, "shell-my-project" },
		{ "/home/me/c++", 1, "shell-c" },
		{ "/home/me/proj", 2, "shell-proj-2" },
		{ "/home/me/caf\xc3\xa9", 1, "shell-caf" },
		{ "/home/me/\xe6\x97\xa5\xe6\x9c\xac", 1, "shell-workspace" },
		{ "/home/me/\xe6\x97\xa5\xe6\x9c\xac", 3, "shell-workspace-3" },
		{ "/home/me/x...", 1, "shell-x" },
	};
	char name[NAME_SIZE], path[400];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		name_default(name, "shell", cases[i].path, cases[i].n);
		assert_string_equal(name, cases[i].want);
		assert_int_equal(name_check(name, NULL), 0);
	}
	/* However long the folder's name: legal, and the number is still there. */
	for (int len = 1; len < 300; len++) {
		(void)snprintf(path, sizeof(path), "/%0*d", len, 0);
		name_default(name, "shell", path, 99);
		assert_int_equal(name_check(name, NULL), 0);
		assert_true(str_ends(name, "-99"));
	}
}

static void host_names(void **state)
{
	char host[NAME_SIZE];

	name_hostname(host, "shell-my_proj.x");
	assert_string_equal(host, "shell-my-proj.x");
	name_hostname(host, "ab_");
	assert_string_equal(host, "ab");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(legal_and_not),
		cmocka_unit_test(defaults),
		cmocka_unit_test(host_names),
	};

	return cmocka_run_group_tests_name("daemon_name", tests, NULL, NULL);
}
