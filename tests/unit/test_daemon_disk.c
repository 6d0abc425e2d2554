/* SPDX-License-Identifier: Apache-2.0
 *
 * Disks: made sparse and formatted, and after a crash at any moment the sweep lets the registry decide.
 */
#include "daemon/disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "base/spawn.h"
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

static void format_spare(uint64_t bytes)
{
	struct err err;
	int status = -1;
	auto_fd int pidfd = -1;

	if (disk_spare_begin(&home, bytes, &pidfd, &err) != 0)
		fail_msg("%s", err.msg);
	assert_int_equal(spawn_wait(pidfd, 20000, &status), 0);
	assert_int_equal(status, 0);
	assert_true(disk_spare_end(&home, true));
}

static ino_t inode(int dirfd, const char *name)
{
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0;
}

static void read_uuid(const char *name, uint8_t uuid[16], uint32_t seed[4])
{
	auto_fd int fd = openat(home.fd, name, O_RDONLY | O_CLOEXEC);

	assert_int_equal(pread(fd, uuid, 16, 1024 + 104), 16);
	assert_int_equal(pread(fd, seed, 16, 1024 + 236), 16); /* of its directories' hashes */
}

static void the_spare_one(void **state)
{
	static const char *const ids[] = { ID, "00000000-0000-4000-8000-000000000002", "00000000-0000-4000-8000-000000000003" };
	uint8_t uuid[3][16];
	uint32_t seed[3][4];
	char name[64];
	struct err err;
	struct stat st;
	ino_t spare;
	int none = -1;

	/* Two that were made ahead and one that was not: each a file system of its own. */
	for (size_t i = 0; i < 3; i++) {
		if (i < 2)
			format_spare(UINT64_C(1) << 30);
		spare = inode(home.spare, "disk-1.img");
		assert_true((spare != 0) == (i < 2));
		assert_int_equal(disk_make(&home, ids[i], UINT64_C(1) << 30, &err), 0);
		assert_int_equal(disk_commit(&home, ids[i], &err), 0);
		(void)str_format(name, sizeof(name), "%s/disk.img", ids[i]);
		assert_true(i == 2 || inode(home.fd, name) == spare);
		assert_int_equal(inode(home.spare, "disk-1.img"), 0);
		read_uuid(name, uuid[i], seed[i]);
	}
	for (size_t i = 0; i < 3; i++) {
		assert_memory_not_equal(uuid[i], uuid[(i + 1) % 3], 16);
		assert_memory_not_equal(seed[i], seed[(i + 1) % 3], 16);
	}

	/* One of another size is not taken, and gives way. */
	format_spare(UINT64_C(1) << 30);
	spare = inode(home.spare, "disk-1.img");
	assert_int_equal(disk_spare_begin(&home, UINT64_C(1) << 30, &none, &err), 1);
	assert_int_equal(none, -1);
	assert_int_equal(disk_retire(&home, ID, &err), 0);
	assert_int_equal(disk_remove(&home, ID, &err), 0);
	assert_int_equal(disk_make(&home, ID, UINT64_C(2) << 30, &err), 0);
	assert_true(inode(home.fd, ID ".new/disk.img") != spare);
	format_spare(UINT64_C(2) << 30);
	assert_int_equal(fstatat(home.spare, "disk-1.img", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_size, INT64_C(2) << 30);
}

static void a_spare_one_that_was_not_finished(void **state)
{
	auto_fd int pidfd = -1;
	struct err err;
	ino_t half;

	/* Killed at any moment: it never has the name under which it would be taken, and the next one begins anew. */
	assert_int_equal(disk_spare_begin(&home, UINT64_C(1) << 30, &pidfd, &err), 0);
	assert_int_equal(spawn_wait(pidfd, 20000, NULL), 0);
	half = inode(home.spare, "new.img");
	assert_true(half != 0 && inode(home.spare, "disk-1.img") == 0);
	assert_int_equal(disk_make(&home, ID, UINT64_C(1) << 30, &err), 0);
	assert_true(inode(home.fd, ID ".new/disk.img") != half);
	format_spare(UINT64_C(1) << 30);
	assert_int_equal(inode(home.spare, "new.img"), 0);

	/* One that failed is none. */
	assert_int_equal(unlinkat(home.spare, "disk-1.img", 0), 0);
	own_close_p(&pidfd);
	assert_int_equal(disk_spare_begin(&home, UINT64_C(1) << 30, &pidfd, &err), 0);
	assert_int_equal(spawn_wait(pidfd, 20000, NULL), 0);
	assert_false(disk_spare_end(&home, false));
	assert_int_equal(inode(home.spare, "disk-1.img"), 0);
	assert_int_equal(inode(home.spare, "new.img"), 0);
}

static void blocks_go_with_the_last_descriptor(void **state)
{
	struct err err;
	struct stat st;
	int held;

	assert_int_equal(disk_make(&home, ID, UINT64_C(1) << 30, &err), 0);
	assert_int_equal(disk_commit(&home, ID, &err), 0);
	assert_int_equal(disk_hold(&home, ID), -1);
	assert_int_equal(disk_retire(&home, ID, &err), 0);
	held = disk_hold(&home, ID);
	assert_true(held >= 0);
	assert_int_equal(disk_remove(&home, ID, &err), 0);
	assert_false(is_there(ID ".old"));
	assert_int_equal(fstat(held, &st), 0);
	assert_int_equal(st.st_nlink, 0);
	assert_int_equal(close(held), 0);
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
		cmocka_unit_test_setup_teardown(the_spare_one, setup, teardown),
		cmocka_unit_test_setup_teardown(a_spare_one_that_was_not_finished, setup, teardown),
		cmocka_unit_test_setup_teardown(blocks_go_with_the_last_descriptor, setup, teardown),
		cmocka_unit_test_setup_teardown(a_disk_that_cannot_be_made, setup, teardown),
		cmocka_unit_test_setup_teardown(removing_what_is_not_there, setup, teardown),
		cmocka_unit_test_setup_teardown(the_sweep, setup, teardown),
	};

	return cmocka_run_group_tests_name("daemon_disk", tests, NULL, NULL);
}
