/* SPDX-License-Identifier: Apache-2.0
 *
 * modules: the order is the names', other files do not count, a missing directory is empty, the maximum is one. Disks:
 * which SCSI address is a target's.
 */
#include "unit.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/str.h"
#include "guest/disks.h"
#include "guest/modules.h"
#include "oom.h"

static void put(const char *dir, const char *name)
{
	char path[1024];
	int fd;

	assert_int_equal(str_format(path, sizeof(path), "%s/%s", dir, name), 0);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
}

static void they_come_in_the_order_of_their_names(void **state)
{
	static const char *const files[] = { "20-c.ko", "03-b.ko", "README", "10-x.ko.xz", ".04-h.ko", "100-z.ko", "01-a.ko" };
	static const char *const want[] = { "01-a.ko", "03-b.ko", "100-z.ko", "20-c.ko" };
	struct module_list l;
	struct err err = { 0 };
	char dir[512];

	unit_tmpdir_make(dir, sizeof(dir));
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		put(dir, files[i]);
	assert_int_equal(modules_list(dir, &l, &err), 0);
	assert_int_equal(l.n, 4);
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(l.names[i], want[i]);
	modules_done(&l);
	for (long n = 0;; n++) {
		int r;

		oom_from(n);
		r = modules_list(dir, &l, &err);
		if (!oom_off())
			break;
		assert_true(r < 0);
	}
	modules_done(&l);
	unit_tmpdir_remove(dir);
}

static void nothing_there_is_an_empty_list(void **state)
{
	struct module_list l = { .n = 5 };
	struct err err = { 0 };

	assert_int_equal(modules_list("/nonexistent/modules", &l, &err), 0);
	assert_int_equal(l.n, 0);
	modules_done(&l);
	assert_true(modules_list("/dev/null", &l, &err) < 0);
}

static void there_is_a_maximum(void **state)
{
	struct module_list l;
	struct err err = { 0 };
	char dir[512], name[32];

	unit_tmpdir_make(dir, sizeof(dir));
	for (int i = 0; i < MODULES_MAX; i++) {
		(void)snprintf(name, sizeof(name), "%03d-m.ko", i);
		put(dir, name);
	}
	assert_int_equal(modules_list(dir, &l, &err), 0);
	assert_int_equal(l.n, MODULES_MAX);
	modules_done(&l);
	put(dir, "zzz.ko");
	assert_true(modules_list(dir, &l, &err) < 0);
	unit_tmpdir_remove(dir);
}

static void a_target_is_channel_0_lun_0(void **state)
{
	assert_true(disks_address_is("0:0:1:0", 1));
	assert_true(disks_address_is("12:0:255:0", 255));
	assert_false(disks_address_is("0:0:1:0", 10));
	assert_false(disks_address_is("0:0:11:0", 1));
	assert_false(disks_address_is("0:1:1:0", 1));
	assert_false(disks_address_is("0:0:1:1", 1));
	assert_false(disks_address_is("", 0));
	assert_false(disks_address_is("host0", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_come_in_the_order_of_their_names),
		cmocka_unit_test(nothing_there_is_an_empty_list),
		cmocka_unit_test(there_is_a_maximum),
		cmocka_unit_test(a_target_is_channel_0_lun_0),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
