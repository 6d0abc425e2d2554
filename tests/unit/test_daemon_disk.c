/* SPDX-License-Identifier: Apache-2.0
 *
 * Disks: made sparse and formatted, and after a crash at any moment the sweep lets the registry decide.
 */
#include "daemon/disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "base/str.h"
#include "unit.h"

#define ID "00000000-0000-4000-8000-000000000001"

static char dir[128];
static struct disk_home home;

static int setup(void **state)
{
	unit_tmpdir_make(dir, sizeof(dir));
	return disk_open(&home, dir, NULL);
}

static int teardown(void **state)
{
	disk_close(&home);
	unit_tmpdir_remove(dir);
	return 0;
}

static bool is_there(const char *name)
{
	struct stat st;

	return fstatat(home.fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void make(const char *name)
{
	assert_int_equal(mkdirat(home.fd, name, 0700), 0);
}

static bool known(void *user, const char *id)
{
	assert_string_equal(id, ID);
	return user != NULL;
}

static void a_new_disk(void **state)
{
	struct stat st;
	struct err err;
	auto_fd int fd = -1;
	uint16_t magic = 0;

	if (disk_make(&home, ID, UINT64_C(64) << 30, &err) < 0)
		fail_msg("%s", err.msg);
	assert_false(is_there(ID));
	assert_int_equal(disk_commit(&home, ID, &err), 0);
	assert_int_equal(fstatat(home.fd, ID "/disk.img", &st, 0), 0);
	assert_int_equal(st.st_size, INT64_C(64) << 30);
	assert_true(st.st_blocks * 512 < 32 << 20);
	assert_int_equal(st.st_mode & 07777, 0600);
	fd = openat(home.fd, ID "/disk.img", O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, &magic, 2, 1024 + 56), 2);
	assert_int_equal(magic, 0xef53); /* ext4 superblock */
	assert_int_equal(disk_retire(&home, ID, &err), 0);
	assert_int_equal(disk_remove(&home, ID, &err), 0);
	assert_false(is_there(ID ".old") || is_there(ID));
}

static void a_disk_that_cannot_be_made(void **state)
{
	struct err err = { 0 };

	/* Larger than any file may be. */
	assert_true(disk_make(&home, ID, UINT64_C(1) << 62, &err) < 0);
	assert_non_null(strstr(err.msg, "sandbox.disk"));
	assert_false(is_there(ID ".new"));
	/* What is there already is not touched. */
	make(ID ".new");
	assert_true(disk_make(&home, ID, 1 << 30, &err) < 0);
	assert_true(is_there(ID ".new"));
}

static void removing_what_is_not_there(void **state)
{
	assert_int_equal(disk_retire(&home, ID, NULL), 0);
	assert_int_equal(disk_remove(&home, ID, NULL), 0);
}

static void the_sweep(void **state)
{
	int record;

	/* Begun, not committed. */
	make(ID ".new");
	disk_sweep(&home, known, NULL);
	assert_false(is_there(ID ".new"));
	/* Committed, not renamed. */
	make(ID ".new");
	disk_sweep(&home, known, &record);
	assert_true(is_there(ID) && !is_there(ID ".new"));
	/* About to go, but the record stayed. */
	assert_int_equal(disk_retire(&home, ID, NULL), 0);
	disk_sweep(&home, known, &record);
	assert_true(is_there(ID) && !is_there(ID ".old"));
	/* The record went. */
	assert_int_equal(disk_retire(&home, ID, NULL), 0);
	disk_sweep(&home, known, NULL);
	assert_false(is_there(ID) || is_there(ID ".old"));
	/* A disk without a record (the registry was lost) is somebody's work; so is what is not ours. */
	make(ID);
	make("notes.new");
	disk_sweep(&home, known, NULL);
	assert_true(is_there(ID) && is_there("notes.new"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_new_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(a_disk_that_cannot_be_made, setup, teardown),
		cmocka_unit_test_setup_teardown(removing_what_is_not_there, setup, teardown),
		cmocka_unit_test_setup_teardown(the_sweep, setup, teardown),
	};

	return cmocka_run_group_tests_name("daemon_disk", tests, NULL, NULL);
}
