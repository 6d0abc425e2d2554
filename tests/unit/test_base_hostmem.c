/* SPDX-License-Identifier: Apache-2.0
 *
 * What memory there is, from made-up trees of /proc and /sys: the host's, and that of groups of both versions.
 */
#include "base/hostmem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "unit.h"

#define MIB(n) ((uint64_t)(n) << 20)
#define MEMINFO "MemTotal:        4194304 kB\nMemFree:          100000 kB\nMemAvailable:    2097152 kB\nMemAvailableX: 1 kB\n"

static char root[] = "/tmp/sbx-hostmem.XXXXXX";

static void put(const char *path, const char *text)
{
	auto_free char *whole = str_new("%s%s", root, path), *dir = strdup(whole);

	assert_non_null(dir);
	*strrchr(dir, '/') = 0;
	assert_int_equal(io_mkdirs(dir, 0700), 0);
	assert_int_equal(io_write_file_atomic(AT_FDCWD, whole, text, strlen(text), 0600), 0);
}

static int begin(void **state)
{
	memcpy(strrchr(root, '.'), ".XXXXXX", 7);
	if (!mkdtemp(root))
		return -1;
	put("/proc/meminfo", MEMINFO);
	return 0;
}

static int end(void **state)
{
	return io_remove_tree(AT_FDCWD, root);
}

static void host_alone(void **state)
{
	struct hostmem m;

	assert_int_equal(hostmem_read(root, &m), 0);
	assert_int_equal(m.total, MIB(4096));
	assert_int_equal(m.available, MIB(2048));
	assert_string_equal(m.group, "");
	put("/proc/meminfo", "MemTotal: 4194304 kB\n");
	assert_int_equal(hostmem_read(root, &m), -EPROTO);
	assert_int_equal(hostmem_read("/tmp/sbx-hostmem-none", &m), -ENOENT);
	assert_int_equal(hostmem_read("", &m), 0);
	assert_true(m.total >= m.available && m.available > 0);
}

static void version_2(void **state)
{
	struct hostmem m;

	put("/proc/self/cgroup", "1:name=systemd:/elsewhere\n0::/user/one\n");
	put("/sys/fs/cgroup/user/one/memory.max", "max\n");
	put("/sys/fs/cgroup/user/one/memory.current", "1048576\n");
	assert_int_equal(hostmem_read(root, &m), 0);
	assert_int_equal(m.available, MIB(2048));

	/* The one above limits; its idle page cache is free. */
	put("/sys/fs/cgroup/user/memory.max", "1073741824\n");
	put("/sys/fs/cgroup/user/memory.current", "943718400\n");
	put("/sys/fs/cgroup/user/memory.stat", "anon 1\nactive_file 5\ninactive_file 104857600\n");
	assert_int_equal(hostmem_read(root, &m), 0);
	assert_int_equal(m.total, MIB(1024));
	assert_int_equal(m.available, MIB(1024 - 900 + 100));
	assert_string_equal(m.group, "/user");

	/* Past its limit is nothing, not a lot. */
	put("/sys/fs/cgroup/user/one/memory.max", "1048000\n");
	assert_int_equal(hostmem_read(root, &m), 0);
	assert_int_equal(m.available, 0);
	assert_string_equal(m.group, "/user/one");
}

static void version_1(void **state)
{
	struct hostmem m;

	put("/proc/self/cgroup", "9:cpu,cpuacct:/x\n5:hugetlb,memory:/box\n");
	put("/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "536870912\n");
	put("/sys/fs/cgroup/memory/box/memory.usage_in_bytes", "268435456\n");
	put("/sys/fs/cgroup/memory/box/memory.stat", "inactive_file 1048576\ntotal_inactive_file 134217728\n");
	put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
	put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "268435456\n");
	assert_int_equal(hostmem_read(root, &m), 0);
	assert_int_equal(m.total, MIB(512));
	assert_int_equal(m.available, MIB(512 - 256 + 128));
	assert_string_equal(m.group, "/box");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(host_alone, begin, end),
		cmocka_unit_test_setup_teardown(version_2, begin, end),
		cmocka_unit_test_setup_teardown(version_1, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
