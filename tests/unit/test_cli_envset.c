/* SPDX-License-Identifier: Apache-2.0
 *
 * envset: precedence, the file's format, errors with their line, limits.
 */
#include "unit.h"

#include <errno.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/envset.h"

static const char *get(const struct envset *e, const char *name)
{
	static char value[256];
	json_t *all = envset_merge(e);
	const char *s;

	assert_non_null(all);
	s = json_string_value(json_object_get(all, name));
	if (s)
		(void)snprintf(value, sizeof(value), "%s", s);
	json_decref(all);
	return s ? value : NULL;
}

static int text(struct envset *e, const char *s, struct err *err)
{
	return envset_text(e, "f", s, strlen(s), err);
}

static void flags(void **state)
{
	struct envset e = { 0 };
	struct err err = { 0 };

	assert_int_equal(envset_flag(&e, "A=1", &err), 0);
	assert_int_equal(envset_flag(&e, "A=2=3", &err), 0);
	assert_int_equal(envset_flag(&e, "B=", &err), 0);
	assert_string_equal(get(&e, "A"), "2=3");
	assert_string_equal(get(&e, "B"), "");
	assert_true(envset_flag(&e, "=x", &err) < 0);
	assert_true(envset_flag(&e, "", &err) < 0);
	assert_true(envset_flag(&e, "A B=x", &err) < 0);
	assert_true(envset_flag(&e, "A=\xff", &err) < 0);
	envset_done(&e);
}

static void from_host(void **state)
{
	struct envset e = { 0 };
	struct err err = { 0 };

	assert_int_equal(setenv("SBX_TEST_SET", "here", 1), 0);
	assert_int_equal(unsetenv("SBX_TEST_UNSET"), 0);
	assert_int_equal(envset_flag(&e, "SBX_TEST_SET", &err), 0);
	assert_int_equal(envset_flag(&e, "SBX_TEST_UNSET", &err), 0);
	assert_string_equal(get(&e, "SBX_TEST_SET"), "here");
	assert_null(get(&e, "SBX_TEST_UNSET"));
	envset_done(&e);
}

static void precedence(void **state)
{
	struct envset e = { 0 };
	struct err err = { 0 };

	assert_int_equal(envset_flag(&e, "A=flag", &err), 0);
	assert_int_equal(text(&e, "A=one\nB=one\n", &err), 0);
	assert_int_equal(text(&e, "B=two\n", &err), 0);
	assert_string_equal(get(&e, "A"), "flag");
	assert_string_equal(get(&e, "B"), "two");
	envset_done(&e);
}

static void format(void **state)
{
	struct envset e = { 0 };
	struct err err = { 0 };

	assert_int_equal(text(&e, "\xef\xbb\xbf# note\n\n   A=\"q\" 'r' # s\r\n\tB= x \nC=last", &err), 0);
	assert_string_equal(get(&e, "A"), "\"q\" 'r' # s");
	assert_string_equal(get(&e, "B"), " x ");
	assert_string_equal(get(&e, "C"), "last");
	assert_int_equal(text(&e, "", &err), 0);
	envset_done(&e);
}

static void bad_lines(void **state)
{
	static const char zero[] = "A=1\nB=x\0y\n";
	struct envset e = { 0 };
	struct err err = { 0 };

	assert_true(text(&e, "A=1\n\nthe key=2\n", &err) < 0);
	assert_non_null(strstr(err.msg, "f, line 3"));
	assert_true(text(&e, "=2\n", &err) < 0);
	assert_non_null(strstr(err.msg, "f, line 1"));
	assert_true(envset_text(&e, "f", zero, sizeof(zero) - 1, &err) < 0);
	assert_non_null(strstr(err.msg, "line 2"));
	assert_true(text(&e, "A=\xc3(\n", &err) < 0);
	envset_done(&e);
}

static void limits(void **state)
{
	struct envset e = { 0 };
	struct err err = { 0 };
	char name[32];
	int r = 0, n = 0;

	for (; r == 0 && n < 2 * ENVSET_MAX; n++) {
		(void)snprintf(name, sizeof(name), "V%d=x", n);
		r = envset_flag(&e, name, &err);
	}
	assert_true(r < 0);
	assert_int_equal(n, ENVSET_MAX + 1);
	envset_done(&e);
}

static void files(void **state)
{
	struct envset e = { 0 };
	struct err err = { 0 };
	char dir[200], path[300];
	FILE *f;

	unit_tmpdir_make(dir, sizeof(dir));
	(void)snprintf(path, sizeof(path), "%s/env", dir);
	assert_int_equal(envset_file(&e, path, &err), -ENOENT);
	assert_non_null(strstr(err.msg, path));
	assert_true(envset_file(&e, dir, &err) < 0);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs("A=1\n", f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(envset_file(&e, path, &err), 0);
	assert_string_equal(get(&e, "A"), "1");
	assert_int_equal(truncate(path, ENVSET_FILE_MAX + 1), 0);
	assert_int_equal(envset_file(&e, path, &err), -EMSGSIZE);
	envset_done(&e);
	unit_tmpdir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags),  cmocka_unit_test(from_host), cmocka_unit_test(precedence),
		cmocka_unit_test(format), cmocka_unit_test(bad_lines), cmocka_unit_test(limits),
		cmocka_unit_test(files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
