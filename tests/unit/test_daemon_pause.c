/* SPDX-License-Identifier: Apache-2.0
 *
 * A sandbox's saved memory: what is seen of it decides what a start goes on from; what cannot be seen is not taken for missing.
 */
#include "daemon/pause.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "daemon/checkpoint.h"
#include "daemon/daemon.h"
#include "unit.h"

#define ID "00000000-0000-4000-8000-000000000001"

static char dir[128];
static struct daemon d;
static struct sandbox s;

static int setup(void **state)
{
	unit_tmpdir_make(dir, sizeof(dir));
	d = (struct daemon){ 0 };
	s = (struct sandbox){ .daemon = &d, .state = SANDBOX_STOPPED };
	(void)str_format(s.row.id, sizeof(s.row.id), "%s", ID);
	(void)str_format(s.row.name, sizeof(s.row.name), "box");
	if (disk_open(&d.disks, dir, NULL) < 0)
		return -1;
	return mkdirat(d.disks.fd, ID, 0700);
}

static int teardown(void **state)
{
	disk_close(&d.disks);
	unit_tmpdir_remove(dir);
	return 0;
}

static bool is_there(const char *name)
{
	struct stat st;

	return fstatat(d.disks.fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void make_dir(const char *name)
{
	assert_int_equal(mkdirat(d.disks.fd, name, 0700), 0);
}

static void make_file(const char *name)
{
	auto_fd int fd = openat(d.disks.fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
}

static void a_whole_one_stays(void **state)
{
	make_dir(ID "/saved");
	make_file(ID "/saved/manifest");
	make_dir(ID "/saved.new");
	make_dir(ID "/saved.old");
	make_dir(ID "/restore.new");
	assert_int_equal(pause_look(&s, NULL), 0);
	assert_true(s.paused);
	assert_true(is_there(ID "/saved/manifest"));
	assert_false(is_there(ID "/saved.new"));
	assert_false(is_there(ID "/saved.old"));
	assert_false(is_there(ID "/restore.new"));
}

static void half_of_one_goes(void **state)
{
	make_dir(ID "/saved");
	make_file(ID "/saved/memory");
	assert_int_equal(pause_look(&s, NULL), 0);
	assert_false(s.paused);
	assert_false(is_there(ID "/saved"));
}

/* As root nothing is forbidden: a file where a directory should be is an error for everybody. */
static void what_cannot_be_seen_is_no_answer(void **state)
{
	struct err err = { 0 };

	make_file(ID "/saved");
	make_dir(ID "/saved.old");
	assert_true(pause_look(&s, &err) < 0);
	assert_non_null(strstr(err.msg, "box"));
	assert_false(s.paused);
	assert_true(is_there(ID "/saved"));
	assert_true(is_there(ID "/saved.old"));
	assert_int_equal(unlinkat(d.disks.fd, ID "/saved", 0), 0);
	assert_int_equal(unlinkat(d.disks.fd, ID "/saved.old", AT_REMOVEDIR), 0);
	assert_int_equal(unlinkat(d.disks.fd, ID, AT_REMOVEDIR), 0);
	assert_true(pause_look(&s, &err) < 0);
}

static void one_is_dropped_whatever_is_left_of_another(void **state)
{
	make_dir(ID "/saved");
	make_file(ID "/saved/manifest");
	make_dir(ID "/saved.old");
	make_file(ID "/saved.old/memory");
	s.paused = true;
	assert_int_equal(pause_discard(&s, NULL), 0);
	assert_false(s.paused);
	assert_false(is_there(ID "/saved"));
	assert_false(is_there(ID "/saved.old"));
	assert_int_equal(pause_discard(&s, NULL), 0);
}

static void a_list_removes_what_is_half_written_only(void **state)
{
	json_t *list;

	make_dir(ID "/checkpoints");
	make_dir(ID "/checkpoints/whole");
	make_file(ID "/checkpoints/whole/manifest");
	make_file(ID "/checkpoints/whole/disk.img");
	make_dir(ID "/checkpoints/odd");
	make_file(ID "/checkpoints/odd/memory");
	make_dir(ID "/checkpoints/half.new");
	make_file(ID "/checkpoints/half.new/manifest");
	make_file(ID "/checkpoints/half.new/disk.img");
	s.copying = true;
	json_decref(checkpoint_list(&s));
	assert_true(is_there(ID "/checkpoints/half.new"));
	s.copying = false;
	list = checkpoint_list(&s);
	assert_int_equal(json_array_size(list), 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "tag")), "whole");
	json_decref(list);
	assert_true(is_there(ID "/checkpoints/odd/memory"));
	assert_false(is_there(ID "/checkpoints/half.new"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_whole_one_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(half_of_one_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_seen_is_no_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(one_is_dropped_whatever_is_left_of_another, setup, teardown),
		cmocka_unit_test_setup_teardown(a_list_removes_what_is_half_written_only, setup, teardown),
	};

	return cmocka_run_group_tests_name("pause", tests, NULL, NULL);
}
