/* SPDX-License-Identifier: Apache-2.0
 *
 * paths: which workspace paths are refused, and the mount points that are made for the others.
 */
#include "unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "guest/paths.h"

static void system_directories_are_refused(void **state)
{
	static const char *const bad[] = { "/",	    "/usr",  "/etc",  "/proc",	     "/sys", "/dev", "/run", "/bin",
					   "/lib",  "/sbin", "/boot", "/var",	     "/lib64", "/usr/bin", "/proc/1", "/sys/fs",
					   "/dev/shm", "/run/sbx", "/run/sbx/fs/0" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = { 0 };

		assert_true(paths_check_workspace(bad[i], &err) < 0);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_non_null(strstr(err.msg, bad[i]));
	}
}

static void unclean_paths_are_refused(void **state)
{
	static const char *const bad[] = { "", "rel", "./x", "/a/", "//a", "/a//b", "/a/./b", "/a/..", "/../a", "/a/../b",
					   "/.", "/..", "/usr/", "/usr/." };
	char long_path[5000] = "", long_name[300] = "/";
	struct err err = { 0 };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_true(paths_check_workspace(bad[i], &err) < 0);
	for (size_t i = 0; i + 2 < sizeof(long_path); i += 2)
		memcpy(long_path + i, "/x", 3);
	assert_true(paths_check_workspace(long_path, &err) < 0);
	long_path[4094] = 0;
	assert_int_equal(paths_check_workspace(long_path, &err), 0);
	memset(long_name + 1, 'n', 256);
	assert_true(paths_check_workspace(long_name, &err) < 0);
}

static void other_paths_are_fine(void **state)
{
	static const char *const good[] = { "/home/u/project", "/root/x", "/usr/src/x", "/usrx", "/tmp/a b", "/srv/..x",
					    "/home/u/...", "/run/user/1000/x", "/var/tmp/x", "/\xff\xfe" };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct err err = { 0 };

		assert_int_equal(paths_check_workspace(good[i], &err), 0);
	}
}

static void below_is_by_component(void **state)
{
	assert_true(paths_is_at_or_below("/home/agent", "/home/agent"));
	assert_true(paths_is_at_or_below("/home/agent/x", "/home/agent"));
	assert_true(paths_is_at_or_below("/home/agent/x", "/home/agent/"));
	assert_false(paths_is_at_or_below("/home/agentx", "/home/agent"));
	assert_false(paths_is_at_or_below("/home", "/home/agent"));
	assert_true(paths_is_at_or_below("/home", "/"));
}

static void mount_points_are_made(void **state)
{
	struct user owner = { .uid = getuid(), .gid = getgid(), .home = "/nowhere" };
	char dir[512], path[1024], closed[600];
	struct err err = { 0 };
	struct stat st;

	unit_tmpdir_make(dir, sizeof(dir));
	assert_int_equal(str_format(closed, sizeof(closed), "%s/closed", dir), 0);
	assert_int_equal(mkdir(closed, 0700), 0);
	assert_int_equal(str_format(path, sizeof(path), "%s/a/b", closed), 0);
	assert_int_equal(paths_make_mount_point(path, false, &owner, &err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	/* Twice is once. */
	assert_int_equal(paths_make_mount_point(path, false, &owner, &err), 0);
	/* A file in the way, and a directory where a file is wanted. */
	assert_int_equal(str_format(path, sizeof(path), "%s/a/f", closed), 0);
	assert_int_equal(paths_make_mount_point(path, true, &owner, &err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode) && st.st_size == 0);
	assert_int_equal(paths_make_mount_point(path, true, &owner, &err), 0);
	assert_true(paths_make_mount_point(path, false, &owner, &err) < 0);
	assert_int_equal(str_format(path, sizeof(path), "%s/a/f/below", closed), 0);
	assert_true(paths_make_mount_point(path, false, &owner, &err) < 0);
	assert_int_equal(str_format(path, sizeof(path), "%s/a/b", closed), 0);
	assert_true(paths_make_mount_point(path, true, &owner, &err) < 0);
	unit_tmpdir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(system_directories_are_refused), cmocka_unit_test(unclean_paths_are_refused),
		cmocka_unit_test(other_paths_are_fine),		  cmocka_unit_test(below_is_by_component),
		cmocka_unit_test(mount_points_are_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
