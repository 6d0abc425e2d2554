/* SPDX-License-Identifier: Apache-2.0
 *
 * guest/homefiles: what a list may say, and that it is written below the home folder and through no link.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "guest/homefiles.h"

static void refused(const char *text)
{
	json_t *list = json_loads(text, 0, NULL);
	struct err err = { 0 };

	assert_non_null(list);
	if (homefiles_check(list, &err) == 0)
		fail_msg("taken: %s", text);
	assert_int_equal(err.kind, ERR_INVALID);
	json_decref(list);
}

static void lists(void **state)
{
	struct err err;

	assert_int_equal(homefiles_check(NULL, &err), 0);
	refused("{}");
	refused("[1]");
	refused("[{\"path\":\"a\",\"mode\":\"0644\"}]");
	refused("[{\"path\":\"/a\",\"mode\":\"0644\",\"content\":\"\"}]");
	refused("[{\"path\":\"a/../b\",\"mode\":\"0644\",\"content\":\"\"}]");
	refused("[{\"path\":\"\",\"mode\":\"0644\",\"content\":\"\"}]");
	refused("[{\"path\":\"a\",\"mode\":\"0888\",\"content\":\"\"}]");
	refused("[{\"path\":\"a\",\"mode\":\"\",\"content\":\"\"}]");
}

static void writing(void **state)
{
	char home[] = "/tmp/sbx-home.XXXXXX";
	auto_free char *text = NULL, *deep = NULL, *link = NULL;
	struct user me = { .uid = geteuid(), .gid = getegid(), .name = "me" };
	json_t *list;
	struct err err = { 0 };
	struct stat st;

	if (geteuid() != 0)
		skip(); /* only root may become somebody */
	list = json_loads("[{\"path\":\"a/b/c\",\"mode\":\"0600\",\"content\":\"one\"},{\"path\":\"link\",\"mode\":\"0644\",\"content\":\"two\"}]", 0,
				  NULL);
	assert_non_null(mkdtemp(home));
	(void)str_format(me.home, sizeof(me.home), "%s", home);
	deep = str_new("%s/a/b/c", home);
	link = str_new("%s/link", home);
	assert_int_equal(symlink("/tmp/sbx-elsewhere", link), 0);
	assert_int_equal(homefiles_check(list, &err), 0);
	assert_true(homefiles_write(list, &me, &err) < 0);
	assert_non_null(strstr(err.msg, "/link in the sandbox"));
	assert_int_equal(io_read_file(AT_FDCWD, deep, 100, &text, NULL), 0);
	assert_string_equal(text, "one");
	assert_int_equal(stat(deep, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true(access("/tmp/sbx-elsewhere", F_OK) < 0);

	assert_int_equal(unlink(link), 0);
	assert_int_equal(homefiles_write(list, &me, &err), 0);
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0644);
	json_decref(list);
	assert_int_equal(io_remove_tree(AT_FDCWD, home), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(lists), cmocka_unit_test(writing) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
