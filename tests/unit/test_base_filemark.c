/* SPDX-License-Identifier: Apache-2.0
 *
 * What makes a file another one: replaced by one of the same length, written to; and what does not: a link to it.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/filemark.h"

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void changes(void **state)
{
	char dir[] = "/tmp/sbx-filemark.XXXXXX";
	struct filemark a, b;

	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(filemark_take("none", &a), -ENOENT);
	put("file", "one");
	put("other", "two");
	assert_int_equal(filemark_take("file", &a), 0);
	assert_int_equal(filemark_take("file", &b), 0);
	assert_true(filemark_same(&a, &b));
	assert_int_equal(filemark_take("other", &b), 0);
	assert_false(filemark_same(&a, &b));

	/* Of the same length, and renamed into its place. */
	assert_int_equal(rename("other", "file"), 0);
	assert_int_equal(filemark_take("file", &b), 0);
	assert_false(filemark_same(&a, &b));
	a = b;
	put("file", "three");
	assert_int_equal(filemark_take("file", &b), 0);
	assert_false(filemark_same(&a, &b));

	/* A link is its target. */
	assert_int_equal(symlink("file", "link"), 0);
	assert_int_equal(filemark_take("link", &a), 0);
	assert_true(filemark_same(&a, &b));
	assert_int_equal(unlink("link"), 0);
	assert_int_equal(unlink("file"), 0);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(changes) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
