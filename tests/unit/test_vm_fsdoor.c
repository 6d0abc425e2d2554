/* SPDX-License-Identifier: Apache-2.0
 *
 * fsdoor: the real sbx-fs in its jail, and its successor. This file speaks as the guest's kernel and its relay do. The program
 * that is started stands beside the running one, so that this test runs from a directory of its own with sbx-fs in it.
 */
#include "vm/fsdoor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/env.h"
#include "base/own.h"
#include "base/spawn.h"
#include "base/str.h"
#include "unit.h"
#include "wire/fuse_guard.h"

#define SAVE_MS 20000

static char dir[256];
static struct spec spec = { .id = "01234567-89ab-cdef-0123-456789abcdef", .nworkspaces = 1 };
static int sock = -1;
static uint64_t unique;

static int setup(void **state)
{
	static char path[300];
	auto_fd int fd = -1;

	unit_tmpdir_make(dir, sizeof(dir));
	(void)snprintf(path, sizeof(path), "%s/file", dir);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	assert_int_equal(write(fd, "before", 6), 6);
	spec.workspaces[0] = (struct spec_workspace){ .path = dir };
	return 0;
}

static int teardown(void **state)
{
	own_close_p(&sock);
	unit_tmpdir_remove(dir);
	return 0;
}

static struct fsdoor start(int state_fd)
{
	struct fsdoor f = { .pidfd = -1, .stderr_fd = -1, .control_fd = -1 };
	struct err err = { 0 };
	int pair[2], r;

	own_close_p(&sock);
	assert_int_equal(io_socketpair(pair), 0);
	sock = pair[0];
	r = fsdoor_start(&spec, pair[1], state_fd, &f, &err);
	if (r < 0)
		print_message("%s\n", err.msg);
	assert_int_equal(r, 0);
	own_close_p(&pair[1]);
	return f;
}

static void end(struct fsdoor *f)
{
	assert_int_equal(kill(f->pid, SIGKILL), 0);
	assert_int_equal(spawn_wait(f->pidfd, 20000, NULL), 0);
	f->pidfd = -1;
	fsdoor_done(f);
}

static void tell(uint32_t opcode, uint64_t node, const void *args, size_t n)
{
	struct fuse_in_header head = { .len = (uint32_t)(sizeof(head) + n), .opcode = opcode, .unique = unique += 2, .nodeid = node };

	assert_int_equal(io_write_all(sock, &head, sizeof(head)), 0);
	assert_int_equal(io_write_all(sock, args, n), 0);
}

/* The answer's error; ret has room for n bytes of its body, which must be as long. */
static int answer(void *ret, size_t n)
{
	struct fuse_out_header head;

	assert_int_equal(io_read_full(sock, &head, sizeof(head)), sizeof(head));
	assert_int_equal(head.unique, unique);
	if (head.error)
		return head.error;
	assert_int_equal(head.len, sizeof(head) + n);
	assert_int_equal(io_read_full(sock, ret, n), n);
	return 0;
}

static uint64_t lookup(uint64_t parent, const char *name)
{
	struct fuse_entry_out e;

	tell(FUSE_LOOKUP, parent, name, strlen(name) + 1);
	assert_int_equal(answer(&e, sizeof(e)), 0);
	return e.nodeid;
}

static uint64_t open_node(uint64_t node)
{
	const struct fuse_open_in in = { .flags = O_RDWR };
	struct fuse_open_out out;

	tell(FUSE_OPEN, node, &in, sizeof(in));
	assert_int_equal(answer(&out, sizeof(out)), 0);
	return out.fh;
}

static void begin(void)
{
	const struct fuse_init_in in = { .major = 7, .minor = 41, .max_readahead = 1 << 17, .flags = 0x7fffffff, .flags2 = 0xffffffff };
	struct fuse_init_out out;

	tell(FUSE_INIT, 0, &in, sizeof(in));
	assert_int_equal(answer(&out, sizeof(out)), 0);
}

static void reads(uint64_t node, uint64_t fh, const char *text)
{
	const struct fuse_read_in in = { .fh = fh, .size = 4096 };
	char got[100] = "";

	tell(FUSE_READ, node, &in, sizeof(in));
	assert_int_equal(answer(got, strlen(text)), 0);
	assert_string_equal(got, text);
}

static void lock(uint64_t node, uint64_t fh, uint32_t flags)
{
	const struct fuse_lk_in in = { .fh = fh, .owner = 5, .lk = { .end = INT64_MAX, .type = F_WRLCK, .pid = 9 }, .lk_flags = flags };

	tell(FUSE_SETLK, node, &in, sizeof(in));
	assert_int_equal(answer(NULL, 0), 0);
}

/* Whether both locks of the guest keep this process out. */
static bool locked(void)
{
	struct flock range = { .l_type = F_WRLCK };
	char path[300];
	auto_fd int fd = -1;

	(void)snprintf(path, sizeof(path), "%s/file", dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	return flock(fd, LOCK_EX | LOCK_NB) < 0 && fcntl(fd, F_OFD_SETLK, &range) < 0;
}

static void goes_on(void **state)
{
	struct fsdoor f = start(-1), g;
	auto_fd int saved = memfd_create("state", MFD_CLOEXEC);
	const struct fuse_write_in in = { .size = 5, .offset = 6 };
	uint64_t file, fh, nonce, nonce_fh;
	uint8_t write[sizeof(in) + 5];
	struct fuse_write_out out;
	size_t lost = 99;
	struct err err = { 0 };

	begin();
	file = lookup(lookup(1, "0"), "file");
	fh = open_node(file);
	lock(file, fh, 0);
	lock(file, fh, FUSE_LK_FLOCK);
	assert_true(locked());
	/* Not before the guest holds its door. */
	assert_true(fsdoor_save(&f, saved, SAVE_MS, &lost, &err) < 0);
	assert_int_equal(err.kind, ERR_CONFLICT);
	tell(FUSE_GUARD_HOLD, 0, NULL, 0);
	assert_int_equal(answer(NULL, 0), 0);
	assert_int_equal(fsdoor_save(&f, saved, SAVE_MS, &lost, &err), 0);
	assert_int_equal(lost, 0);
	end(&f);
	assert_false(locked());

	g = start(saved);
	assert_string_not_equal(f.nonce, g.nonce);
	tell(FUSE_GUARD_GO, 0, NULL, 0);
	reads(file, fh, "before");
	assert_true(locked());
	memcpy(write, &in, sizeof(in));
	((struct fuse_write_in *)(void *)write)->fh = fh;
	memcpy(write + sizeof(in), "after", 5);
	tell(FUSE_WRITE, file, write, sizeof(write));
	assert_int_equal(answer(&out, sizeof(out)), 0);
	reads(file, fh, "beforeafter");
	nonce = lookup(1, ".nonce");
	{
		const struct fuse_open_in ro = { .flags = O_RDONLY };
		struct fuse_open_out opened;

		tell(FUSE_OPEN, nonce, &ro, sizeof(ro));
		assert_int_equal(answer(&opened, sizeof(opened)), 0);
		nonce_fh = opened.fh;
	}
	reads(nonce, nonce_fh, g.nonce);
	end(&g);
}

static void a_damaged_state_ends_it(void **state)
{
	auto_fd int saved = memfd_create("state", MFD_CLOEXEC);
	struct fsdoor f;
	char line[500] = "";
	int status = -1;

	assert_int_equal(write(saved, "SBXFILES", 8), 8);
	f = start(saved);
	assert_int_equal(spawn_wait(f.pidfd, 20000, &status), 0);
	f.pidfd = -1;
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	assert_true(read(f.stderr_fd, line, sizeof(line) - 1) > 0);
	assert_non_null(strstr(line, "the saved state of the files is damaged"));
	fsdoor_done(&f);
}

/* One that does not answer costs the time that it was given, and is not asked again. */
static void no_answer(void **state)
{
	struct fsdoor f = { .pidfd = -1, .stderr_fd = -1 };
	auto_fd int saved = memfd_create("state", MFD_CLOEXEC);
	static const char *const answers[] = { "ok 5 1\nabc", "ok 99999999999 0\n", "ok 5\n", "what\n", "no reason\n" };
	struct err err = { 0 };
	size_t lost = 99;
	int pair[2];

	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		assert_int_equal(io_socketpair(pair), 0);
		f.control_fd = pair[0];
		assert_int_equal(io_write_all(pair[1], answers[i], strlen(answers[i])), 0);
		assert_true(fsdoor_save(&f, saved, 50, &lost, &err) < 0);
		assert_int_equal(err.kind, i == 0 ? ERR_TIMEOUT : ERR_INTERNAL);
		assert_int_equal(f.control_fd, -1);
		own_close_p(&pair[1]);
	}
	assert_true(fsdoor_save(&f, saved, 50, &lost, &err) < 0);
	assert_int_equal(lost, 99);
}

/* Runs this program once more from a directory that has sbx-fs beside it. */
static void move_beside_fs(void)
{
	char home[256], self[64], copy[300], link[300], program[5000];
	const char *const cp[] = { "cp", self, copy, NULL };
	const char *const again[] = { copy, "moved", NULL };
	auto_fd int pidfd = -1;
	int status = -1;

	unit_tmpdir_make(home, sizeof(home));
	(void)snprintf(self, sizeof(self), "/proc/%d/exe", getpid());
	(void)snprintf(copy, sizeof(copy), "%s/test", home);
	(void)snprintf(link, sizeof(link), "%s/sbx-fs", home);
	(void)snprintf(program, sizeof(program), "%s/../bin/sbx-fs", env_bindir());
	assert_int_equal(symlink(program, link), 0);
	assert_int_equal(spawn_run(&(struct spawn){ .path = "cp", .argv = cp, .stdin_fd = -1 }, 10000, 0, NULL, NULL), 0);
	assert_int_equal(spawn_start(&(struct spawn){ .path = copy, .argv = again, .stdin_fd = -1, .stdout_fd = 1, .stderr_fd = 2 },
				     NULL, &pidfd, NULL),
			 0);
	assert_int_equal(spawn_wait(pidfd, 100000, &status), 0);
	unit_tmpdir_remove(home);
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(goes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(a_damaged_state_ends_it, setup, teardown),
		cmocka_unit_test(no_answer),
	};

	if (argc < 2)
		move_beside_fs();
	return cmocka_run_group_tests_name("vm_fsdoor", tests, NULL, NULL);
}
