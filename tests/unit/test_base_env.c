/* SPDX-License-Identifier: Apache-2.0
 *
 * Where things are: the XDG rules, directories that cannot be made or written, our programs' places.
 */
#include "base/env.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "base/str.h"
#include "oom.h"
#include "unit.h"

static char tmp[256];

static int make(void **state)
{
	unit_tmpdir_make(tmp, sizeof(tmp));
	return 0;
}

static int drop(void **state)
{
	unit_tmpdir_remove(tmp);
	return 0;
}

static void clear_env(void)
{
	assert_int_equal(unsetenv("XDG_STATE_HOME") | unsetenv("XDG_CACHE_HOME") | unsetenv("XDG_CONFIG_HOME") |
				 unsetenv("XDG_RUNTIME_DIR"), 0);
	assert_int_equal(setenv("HOME", "/home/somebody", 1), 0);
}

static void defaults_are_below_home(void **state)
{
	struct env_dirs d;

	clear_env();
	assert_int_equal(env_dirs(&d, NULL), 0);
	assert_string_equal(d.state, "/home/somebody/.local/state/sbx");
	assert_string_equal(d.cache, "/home/somebody/.cache/sbx");
	assert_string_equal(d.config, "/home/somebody/.config/sbx");
	assert_string_equal(d.runtime, "/home/somebody/.local/state/sbx/run");
}

static void xdg_moves_each(void **state)
{
	struct env_dirs d;

	clear_env();
	assert_int_equal(setenv("XDG_STATE_HOME", "/s", 1) | setenv("XDG_CACHE_HOME", "/c", 1) |
				 setenv("XDG_CONFIG_HOME", "/g", 1) | setenv("XDG_RUNTIME_DIR", "/r", 1), 0);
	assert_int_equal(env_dirs(&d, NULL), 0);
	assert_string_equal(d.state, "/s/sbx");
	assert_string_equal(d.cache, "/c/sbx");
	assert_string_equal(d.config, "/g/sbx");
	assert_string_equal(d.runtime, "/r/sbx");
}

static void relative_and_empty_values_are_ignored(void **state)
{
	struct env_dirs d;

	clear_env();
	assert_int_equal(setenv("XDG_STATE_HOME", "relative", 1) | setenv("XDG_CACHE_HOME", "", 1) |
				 setenv("XDG_RUNTIME_DIR", "./run", 1), 0);
	assert_int_equal(env_dirs(&d, NULL), 0);
	assert_string_equal(d.state, "/home/somebody/.local/state/sbx");
	assert_string_equal(d.cache, "/home/somebody/.cache/sbx");
	assert_string_equal(d.runtime, "/home/somebody/.local/state/sbx/run");
}

static void too_long_a_path_is_an_error_that_names_it(void **state)
{
	static const char *const names[] = { "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "HOME" };
	auto_free char *path = malloc(5001);

	assert_non_null(path);
	memset(path, '/', 5000);
	path[5000] = 0;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct env_dirs d;
		struct err err = { 0 };

		clear_env();
		assert_int_equal(setenv(names[i], path, 1), 0);
		assert_int_equal(env_dirs(&d, &err), -ENAMETOOLONG);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_non_null(strstr(err.msg, names[i]));
	}
	clear_env();
}

static void ensure_makes_private_directories(void **state)
{
	char path[400];
	struct stat st;
	mode_t old = umask(0022);

	assert_int_equal(str_format(path, sizeof(path), "%s/a/b/sbx", tmp), 0);
	assert_int_equal(env_ensure(path, NULL), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(env_ensure(path, NULL), 0);
	(void)umask(old);
}

static void ensure_says_which_directory_cannot_be(void **state)
{
	char path[400];
	struct err err = { 0 };
	auto_fd int fd = -1;

	assert_int_equal(str_format(path, sizeof(path), "%s/file", tmp), 0);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_true(env_ensure(path, &err) < 0);
	assert_non_null(strstr(err.msg, path));
	assert_int_equal(str_format(path, sizeof(path), "%s/file/sbx", tmp), 0);
	assert_int_equal(env_ensure(path, &err), -ENOTDIR);
	assert_non_null(strstr(err.msg, path));
}

static void ensure_proves_that_it_can_be_written(void **state)
{
	char path[400];
	struct err err = { 0 };
	uid_t me = geteuid();
	int r;

	assert_int_equal(str_format(path, sizeof(path), "%s/closed", tmp), 0);
	assert_int_equal(chmod(tmp, 0755) | mkdir(path, 0755) | chmod(path, 0555), 0);
	if (me == 0)
		assert_int_equal(seteuid(65534), 0); /* root may write everywhere */
	r = env_ensure(path, &err);
	if (me == 0)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(r, -EACCES);
	assert_non_null(strstr(err.msg, path));
}

static void programs_stand_beside_the_running_one(void **state)
{
	auto_free char *program = env_program("sbx-vm"), *data = env_data("initramfs.cpio");

	assert_non_null(env_bindir());
	assert_int_equal(env_bindir()[0], '/');
	assert_non_null(program);
	assert_true(str_starts(program, env_bindir()));
	assert_true(str_ends(program, "/sbx-vm"));
	assert_true(str_ends(data, "/../share/sbx/initramfs.cpio"));
}

static void empty_is_unset(void **state)
{
	assert_int_equal(setenv("SBX_TEST_EMPTY", "", 1) | setenv("SBX_TEST_SET", "x", 1), 0);
	assert_null(env_get("SBX_TEST_EMPTY"));
	assert_null(env_get("SBX_TEST_NOT_THERE"));
	assert_string_equal(env_get("SBX_TEST_SET"), "x");
}

static void without_memory(void **state)
{
	struct err err = { 0 };

	oom_from(0);
	assert_null(env_program("sbx"));
	assert_null(env_data("x"));
	assert_int_equal(env_ensure(tmp, &err), -ENOMEM);
	assert_true(oom_off());
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_below_home),
		cmocka_unit_test(xdg_moves_each),
		cmocka_unit_test(relative_and_empty_values_are_ignored),
		cmocka_unit_test(too_long_a_path_is_an_error_that_names_it),
		cmocka_unit_test(ensure_makes_private_directories),
		cmocka_unit_test(ensure_says_which_directory_cannot_be),
		cmocka_unit_test(ensure_proves_that_it_can_be_written),
		cmocka_unit_test(programs_stand_beside_the_running_one),
		cmocka_unit_test(empty_is_unset),
		cmocka_unit_test(without_memory),
	};

	return cmocka_run_group_tests_name("env", tests, make, drop);
}
