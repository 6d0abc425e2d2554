/* SPDX-License-Identifier: Apache-2.0
 *
 * fdlocks: what the kernel says of the locks of a descriptor, by texts and by locks that are taken.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/own.h"
#include "share/fdlocks.h"

static int parse(const char *text, struct fdlocks *ret)
{
	char copy[1024];

	assert_true(snprintf(copy, sizeof(copy), "%s", text) < (int)sizeof(copy));
	return fdlocks_parse(copy, ret);
}

static void test_texts(void **state)
{
	struct fdlocks l;

	assert_int_equal(parse("pos:\t0\nflags:\t02100002\nmnt_id:\t27\nino:\t403319\n", &l), 0);
	assert_int_equal(l.n, 0);
	fdlocks_done(&l);
	assert_int_equal(parse("pos:\t0\n"
			       "lock:\t1: FLOCK  ADVISORY  WRITE 28306 fe:00:403319 0 EOF\n"
			       "lock:\t2: OFDLCK ADVISORY  READ -1 fe:00:403319 5 9223372036854775807\n"
			       "lock:\t3: LEASE  ACTIVE    READ 1 fe:00:1 0 EOF\n"
			       "lock:\t4: OFDLCK ADVISORY  WRITE -1 fe:00:403319 7 7\n", &l), 0);
	assert_int_equal(l.n, 3);
	assert_true(l.list[0].whole && l.list[0].write);
	assert_true(!l.list[1].whole && !l.list[1].write && l.list[1].first == 5 && l.list[1].last == INT64_MAX);
	assert_true(l.list[2].write && l.list[2].first == 7 && l.list[2].last == 7);
	fdlocks_done(&l);
	for (size_t i = 0; i < 4; i++) {
		static const char *const bad[] = {
			"lock:\t1: OFDLCK ADVISORY  WRITE -1 fe:00:403319 0\n",
			"lock:\t1: OFDLCK ADVISORY  WRITE -1 fe:00:403319 -1 EOF\n",
			"lock:\t1: OFDLCK ADVISORY  WRITE -1 fe:00:403319 7 6\n",
			"lock:\t1: OFDLCK ADVISORY  UNLCK -1 fe:00:403319 0 EOF\n",
		};

		assert_int_equal(parse(bad[i], &l), -EPROTO);
		fdlocks_done(&l);
	}
}

static void test_real(void **state)
{
	auto_fd int proc = open("/proc/self/fd", O_PATH | O_DIRECTORY), fd = -1, other = -1;
	struct flock range = { .l_type = F_WRLCK, .l_start = 10, .l_len = 20 };
	char path[] = "/tmp/sbx-fdlocks.XXXXXX";
	struct fdlocks l;

	fd = mkstemp(path);
	assert_true(proc >= 0 && fd >= 0);
	other = open(path, O_RDWR);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(fdlocks_read(proc, fd, &l), 0);
	assert_int_equal(l.n, 0);
	fdlocks_done(&l);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &range), 0);
	range = (struct flock){ .l_type = F_RDLCK, .l_start = 100 };
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &range), 0);
	range = (struct flock){ .l_type = F_UNLCK, .l_start = 15, .l_len = 1 };
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &range), 0);
	assert_int_equal(flock(fd, LOCK_SH), 0);
	assert_int_equal(fdlocks_read(proc, fd, &l), 0);
	assert_int_equal(l.n, 4);
	assert_true(l.list[0].whole && !l.list[0].write);
	assert_true(l.list[1].write && l.list[1].first == 10 && l.list[1].last == 14);
	assert_true(l.list[2].write && l.list[2].first == 16 && l.list[2].last == 29);
	assert_true(!l.list[3].write && l.list[3].first == 100 && l.list[3].last == INT64_MAX);
	fdlocks_done(&l);
	/* Those of another descriptor of the file are not its own. */
	assert_int_equal(fdlocks_read(proc, other, &l), 0);
	assert_int_equal(l.n, 0);
	fdlocks_done(&l);
	assert_int_equal(fdlocks_read(proc, 9999, &l), -ENOENT);
	fdlocks_done(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_real),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
