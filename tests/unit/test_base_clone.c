/* SPDX-License-Identifier: Apache-2.0
 *
 * A copy has the same bytes and no more blocks than its original; holes stay holes, at the end too.
 */
#include "base/clone.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "unit.h"

#define SIZE (16 << 20)

static int temp_file(void)
{
	char path[] = "/tmp/sbx-clone.XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	return fd;
}

static void put(int fd, off_t at, int c, size_t n)
{
	auto_free char *bytes = malloc(n);

	assert_non_null(bytes);
	memset(bytes, c, n);
	assert_int_equal(pwrite(fd, bytes, n, at), n);
}

static void same(int a, int b)
{
	static char x[1 << 20], y[1 << 20];

	for (off_t at = 0; at < SIZE; at += (off_t)sizeof(x)) {
		assert_int_equal(pread(a, x, sizeof(x), at), sizeof(x));
		assert_int_equal(pread(b, y, sizeof(y), at), sizeof(y));
		assert_memory_equal(x, y, sizeof(x));
	}
}

static void sparse(void **state)
{
	auto_fd int from = temp_file(), to = temp_file();
	struct clone c = { 0 };
	struct stat st;

	assert_int_equal(ftruncate(from, SIZE), 0);
	put(from, 0, 'a', 8192);
	put(from, 5 << 20, 'b', (1 << 20) + 4096);
	assert_int_equal(clone_file(from, to, &c), 0);
	assert_int_equal(fstat(to, &st), 0);
	assert_int_equal(st.st_size, SIZE);
	assert_true(st.st_blocks * 512 < 3 << 20);
	assert_true(c.shared ? c.bytes == 0 : c.bytes >= (1 << 20) + 4096 + 8192 && c.bytes < 3 << 20);
	same(from, to);
	/* They are two from here on. */
	put(to, 0, 'c', 8192);
	assert_int_equal(pread(from, &st, 1, 0), 1);
	assert_int_equal(*(char *)&st, 'a');
}

static void nothing_in_it(void **state)
{
	auto_fd int from = temp_file(), to = temp_file();
	struct clone c = { 0 };
	struct stat st;

	assert_int_equal(ftruncate(from, SIZE), 0);
	assert_int_equal(clone_file(from, to, &c), 0);
	assert_int_equal(c.bytes, 0);
	assert_int_equal(fstat(to, &st), 0);
	assert_int_equal(st.st_size, SIZE);
	assert_int_equal(st.st_blocks, 0);
}

static void full(void **state)
{
	auto_fd int from = temp_file(), to = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct clone c = { .bytes = 7 };

	put(from, 0, 'a', 8192);
	assert_true(clone_file(from, to, &c) < 0);
	assert_int_equal(c.bytes, 7); /* untouched */
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(sparse), cmocka_unit_test(nothing_in_it), cmocka_unit_test(full) };

	return cmocka_run_group_tests_name("base_clone", tests, NULL, NULL);
}
