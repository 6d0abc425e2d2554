/* SPDX-License-Identifier: Apache-2.0
 *
 * A memory of which a process has pages of its own is written as the process sees it, and read back whole or not at all.
 * This process stands in for QEMU.
 */
#include "vm/frozen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "unit.h"
#include "vm/ownpages.h"

#define PAGE 4096
#define SIZE (8U << 20)

static char home[64];
static int homefd = -1;

static int set_up(void **state)
{
	(void)snprintf(home, sizeof(home), "/tmp/sbx-frozen.XXXXXX");
	if (!mkdtemp(home))
		return -1;
	homefd = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return homefd < 0;
}

static int tear_down(void **state)
{
	own_close_p(&homefd);
	return io_remove_tree(AT_FDCWD, home);
}

/* A frozen memory with something in pages 1, 2 and 1500. */
static struct frozen original(void)
{
	struct frozen f = { -1, -1 };
	struct err err;
	char page[PAGE];

	assert_int_equal(frozen_new(&f, SIZE, &err), 0);
	memset(page, 'o', sizeof(page));
	assert_int_equal(pwrite(f.memory, page, PAGE, PAGE), PAGE);
	assert_int_equal(pwrite(f.memory, page, PAGE, 2 * PAGE), PAGE);
	assert_int_equal(pwrite(f.memory, page, PAGE, 1500 * PAGE), PAGE);
	assert_int_equal(pwrite(f.state, "state", 5, 0), 5);
	return f;
}

/* The private view: page 2 changed, 1500 cleared, 700 and 701 new, 1 only read. */
static uint8_t *view(const struct frozen *f)
{
	uint8_t *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, f->memory, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(p[PAGE], 'o');
	memset(p + 2 * PAGE, 'c', PAGE);
	memset(p + 1500 * PAGE, 0, PAGE);
	memset(p + 700 * PAGE, 'n', 2 * PAGE);
	return p;
}

static int write_it(const struct frozen *f, int files)
{
	struct ownpages own;
	struct frozen_over over;
	json_t *about = json_pack("{s:s}", "name", "box");
	struct err err;
	int r;

	assert_int_equal(ownpages_open(getpid(), f->memory, SIZE, &own, &err), 0);
	over = (struct frozen_over){ own.pagemap, own.mem, own.at };
	r = frozen_write(f, files, &over, homefd, about, &err);
	assert_int_equal(frozen_sync(homefd, &err), 0);
	ownpages_done(&own);
	json_decref(about);
	return r;
}

static int read_it(uint8_t **ret, json_t **about)
{
	struct frozen f = { -1, -1 };
	auto_fd int files = memfd_create("files", MFD_CLOEXEC);
	char text[8] = "";
	struct err err;
	int r;

	assert_int_equal(frozen_new(&f, SIZE, &err), 0);
	r = frozen_read(&f, files, homefd, about, &err);
	if (r == 0) {
		assert_int_equal(pread(f.state, text, sizeof(text), 0), 5);
		assert_string_equal(text, "state");
		assert_int_equal(pread(files, text, sizeof(text), 0), 5);
		assert_memory_equal(text, "files", 5);
		*ret = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, f.memory, 0);
		assert_ptr_not_equal(*ret, MAP_FAILED);
	}
	frozen_done(&f);
	return r;
}

static void there_and_back(void **state)
{
	struct frozen f = original();
	uint8_t *mine = view(&f), *got = NULL, base;
	auto_fd int files = memfd_create("files", MFD_CLOEXEC);
	json_t *about = NULL;
	struct stat st;

	assert_int_equal(pwrite(files, "files", 5, 0), 5);
	assert_int_equal(write_it(&f, files), 0);
	assert_int_equal(fstatat(homefd, "memory", &st, 0), 0);
	assert_int_equal(st.st_size, SIZE);
	assert_true(st.st_blocks * 512 <= 16 * PAGE); /* four pages, and what the file system makes of them */
	assert_int_equal(read_it(&got, &about), 0);
	assert_memory_equal(got, mine, SIZE);
	assert_string_equal(json_string_value(json_object_get(about, "name")), "box");
	/* What others share is as it was. */
	assert_int_equal(pread(f.memory, &base, 1, 2 * PAGE), 1);
	assert_int_equal(base, 'o');
	json_decref(about);
	(void)munmap(mine, SIZE);
	(void)munmap(got, SIZE);
	frozen_done(&f);
}

static void change(const char *name, off_t at)
{
	auto_fd int fd = -1;

	assert_int_equal(fchmodat(homefd, name, 0600, 0), 0);
	fd = openat(homefd, name, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "!", 1, at), 1);
}

static void damaged(void **state)
{
	static const struct {
		const char *name;
		off_t at;
	} cases[] = { { "memory", 700 * PAGE + 5 }, { "memory", 3000000 }, { "state", 2 }, { "files", 0 }, { "manifest", 0 } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct frozen f = original();
		uint8_t *mine = view(&f), *got = NULL;
		auto_fd int files = memfd_create("files", MFD_CLOEXEC);
		json_t *about = NULL;

		assert_int_equal(pwrite(files, "files", 5, 0), 5);
		assert_int_equal(write_it(&f, files), 0);
		change(cases[i].name, cases[i].at);
		assert_int_equal(read_it(&got, &about), -EBADMSG);
		assert_null(about);
		(void)munmap(mine, SIZE);
		frozen_done(&f);
		assert_int_equal(tear_down(NULL) + set_up(NULL), 0);
	}
}

static void incomplete(void **state)
{
	struct frozen f = original();
	uint8_t *mine = view(&f), *got = NULL;
	json_t *about = NULL;

	assert_int_equal(write_it(&f, -1), 0);
	assert_int_equal(unlinkat(homefd, "manifest", 0), 0);
	assert_int_equal(read_it(&got, &about), -EBADMSG);
	(void)munmap(mine, SIZE);
	frozen_done(&f);
}

static void not_mapped(void **state)
{
	struct frozen f = original();
	struct ownpages own;
	struct err err;

	assert_int_equal(ownpages_open(getpid(), f.memory, SIZE, &own, &err), -ENXIO);
	frozen_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(there_and_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(damaged, set_up, tear_down),
		cmocka_unit_test_setup_teardown(incomplete, set_up, tear_down),
		cmocka_unit_test(not_mapped),
	};

	return cmocka_run_group_tests_name("vm_frozen", tests, NULL, NULL);
}
