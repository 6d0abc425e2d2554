/* SPDX-License-Identifier: Apache-2.0
 *
 * Descriptors and small files: bounds, atomic replacement, removal that follows no symlink, long socket paths.
 */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "base/str.h"
#include "oom.h"
#include "unit.h"

static char tmp[256];
static int tmpfd = -1;

static int make(void **state)
{
	unit_tmpdir_make(tmp, sizeof(tmp));
	tmpfd = open(tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return tmpfd < 0;
}

static int drop(void **state)
{
	own_close_p(&tmpfd);
	unit_tmpdir_remove(tmp);
	return 0;
}

static bool is_cloexec(int fd)
{
	return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

static void write_then_read(void **state)
{
	auto_free char *text = NULL;
	size_t n = 0;
	struct stat st;

	assert_int_equal(io_write_file_atomic(tmpfd, "f", "a\0b", 3, 0640), 0);
	assert_int_equal(io_read_file(tmpfd, "f", 3, &text, &n), 0);
	assert_int_equal(n, 3);
	assert_memory_equal(text, "a\0b\0", 4);
	assert_int_equal(fstatat(tmpfd, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
}

static void empty_file(void **state)
{
	auto_free char *text = NULL;
	size_t n = 9;

	assert_int_equal(io_write_file_atomic(tmpfd, "empty", "", 0, 0600), 0);
	assert_int_equal(io_read_file(tmpfd, "empty", 0, &text, &n), 0);
	assert_int_equal(n, 0);
	assert_string_equal(text, "");
}

static void read_refuses_what_is_too_big_or_missing(void **state)
{
	char *text = (char *)(uintptr_t)"untouched";
	size_t n = 42;

	assert_int_equal(io_write_file_atomic(tmpfd, "big", "12345", 5, 0600), 0);
	assert_int_equal(io_read_file(tmpfd, "big", 4, &text, &n), -EMSGSIZE);
	assert_int_equal(io_read_file(tmpfd, "missing", 4, &text, &n), -ENOENT);
	assert_int_equal(io_read_file(tmpfd, ".", 4, &text, &n), -EISDIR);
	assert_string_equal(text, "untouched");
	assert_int_equal(n, 42);
}

static void atomic_write_that_fails_leaves_the_old_file(void **state)
{
	auto_free char *text = NULL;
	auto_dir DIR *d = NULL;
	struct dirent *e;

	assert_int_equal(mkdirat(tmpfd, "at", 0700), 0);
	assert_int_equal(mkdirat(tmpfd, "at/name", 0700), 0);
	assert_int_equal(io_write_file_atomic(tmpfd, "at/name", "x", 1, 0600), -EISDIR);
	assert_int_equal(io_write_file_atomic(tmpfd, "no/such", "x", 1, 0600), -ENOENT);
	d = fdopendir(openat(tmpfd, "at", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	assert_non_null(d);
	while ((e = readdir(d)))
		assert_true(e->d_name[0] == '.' || str_eq(e->d_name, "name"));
	assert_int_equal(io_write_file_atomic(tmpfd, "f", "one", 3, 0600), 0);
	assert_int_equal(io_write_file_atomic(tmpfd, "f", "two", 3, 0600), 0);
	assert_int_equal(io_read_file(tmpfd, "f", 16, &text, NULL), 0);
	assert_string_equal(text, "two");
}

static void whole_writes_and_reads_over_a_socket(void **state)
{
	int fds[2];
	char out[512];

	assert_int_equal(io_socketpair(fds), 0);
	assert_true(is_cloexec(fds[0]) && is_cloexec(fds[1]));
	assert_int_equal(io_write_all(fds[0], "0123456789", 10), 0);
	assert_int_equal(io_read_full(fds[1], out, 4), 4);
	assert_memory_equal(out, "0123", 4);
	own_close_p(&fds[0]);
	assert_int_equal(io_read_full(fds[1], out, sizeof(out)), 6);
	assert_int_equal(io_read_full(fds[1], out, sizeof(out)), 0);
	own_close_p(&fds[1]);
	assert_int_equal(io_write_all(-1, "x", 1), -EBADF);
	assert_int_equal(io_read_full(-1, out, 1), -EBADF);
	assert_int_equal(io_write_all(-1, "", 0), 0);
}

static void read_to_end_is_bounded(void **state)
{
	struct buf b;
	int fds[2];

	assert_int_equal(io_socketpair(fds), 0);
	assert_int_equal(io_write_all(fds[0], "0123456789", 10), 0);
	own_close_p(&fds[0]);
	buf_init(&b, 9);
	assert_int_equal(io_read_to_end(fds[1], &b), -EMSGSIZE);
	buf_done(&b);
	own_close_p(&fds[1]);
}

static void nonblock(void **state)
{
	int fds[2];
	char c;

	assert_int_equal(io_socketpair(fds), 0);
	assert_int_equal(io_set_nonblock(fds[0], true), 0);
	assert_int_equal(io_read_full(fds[0], &c, 1), -EAGAIN);
	assert_int_equal(io_set_nonblock(fds[0], false), 0);
	assert_int_equal(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(io_set_nonblock(-1, true), -EBADF);
	own_close_p(&fds[0]);
	own_close_p(&fds[1]);
}

static void mkdirs_makes_parents(void **state)
{
	char path[400];
	struct stat st;

	assert_int_equal(str_format(path, sizeof(path), "%s/x//y/z", tmp), 0);
	assert_int_equal(io_mkdirs(path, 0700), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(io_mkdirs(path, 0700), 0);
	assert_int_equal(io_write_file_atomic(tmpfd, "f", "", 0, 0600), 0);
	assert_int_equal(str_format(path, sizeof(path), "%s/f/x", tmp), 0);
	assert_int_equal(io_mkdirs(path, 0700), -ENOTDIR);
}

static void remove_tree_never_follows_symlinks(void **state)
{
	struct stat st;

	assert_int_equal(mkdirat(tmpfd, "outside", 0700), 0);
	assert_int_equal(io_write_file_atomic(tmpfd, "outside/kept", "", 0, 0600), 0);
	assert_int_equal(mkdirat(tmpfd, "tree", 0700), 0);
	assert_int_equal(mkdirat(tmpfd, "tree/sub", 0700), 0);
	assert_int_equal(io_write_file_atomic(tmpfd, "tree/sub/f", "", 0, 0600), 0);
	assert_int_equal(symlinkat("../outside", tmpfd, "tree/link"), 0);
	assert_int_equal(symlinkat("nowhere", tmpfd, "tree/dangling"), 0);
	assert_int_equal(io_remove_tree(tmpfd, "tree"), 0);
	assert_int_equal(fstatat(tmpfd, "tree", &st, AT_SYMLINK_NOFOLLOW), -1);
	assert_int_equal(fstatat(tmpfd, "outside/kept", &st, 0), 0);

	assert_int_equal(symlinkat("outside", tmpfd, "link"), 0);
	assert_int_equal(io_remove_tree(tmpfd, "link"), 0);
	assert_int_equal(fstatat(tmpfd, "outside/kept", &st, 0), 0);
	assert_int_equal(io_remove_tree(tmpfd, "missing"), 0);
	assert_int_equal(io_remove_tree(tmpfd, "outside/kept"), 0);
	assert_int_equal(fstatat(tmpfd, "outside/kept", &st, 0), -1);
}

static void sockets_below_long_paths(void **state)
{
	char path[600], name[200];
	auto_fd int dir = -1, listener = -1, client = -1, server = -1;
	struct stat st;
	uid_t uid = 12345;

	memset(name, 'd', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	assert_int_equal(str_format(path, sizeof(path), "%s/%s", tmp, name), 0);
	assert_int_equal(io_mkdirs(path, 0700), 0);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	assert_int_equal(io_unix_connect(dir, "s.sock"), -ENOENT);
	listener = io_unix_listen(dir, "s.sock", 5);
	assert_true(listener >= 0 && is_cloexec(listener));
	assert_int_equal(fstatat(dir, "s.sock", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	client = io_unix_connect(dir, "s.sock");
	assert_true(client >= 0 && is_cloexec(client));
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_int_equal(io_peer_uid(server, &uid), 0);
	assert_int_equal(uid, getuid());
	own_close_p(&listener);
	assert_int_equal(io_unix_connect(dir, "s.sock"), -ECONNREFUSED);
	/* What a dead process left is replaced. */
	listener = io_unix_listen(dir, "s.sock", 5);
	assert_true(listener >= 0);
	assert_int_equal(io_unix_listen(dir, name, 5), -ENAMETOOLONG);
}

static void peer_uid_of_no_socket(void **state)
{
	uid_t uid = 7;

	assert_int_equal(io_peer_uid(tmpfd, &uid), -ENOTSOCK);
	assert_int_equal(uid, 7);
}

static void the_parent_of_a_path_is_synced(void **state)
{
	char path[300];

	(void)str_format(path, sizeof(path), "%s/what-was-there", tmp);
	assert_int_equal(io_sync_parent(path), 0);
	(void)str_format(path, sizeof(path), "%s/missing/file", tmp);
	assert_int_equal(io_sync_parent(path), -ENOENT);
	assert_int_equal(io_sync_parent("no-directory"), -EINVAL);
	assert_int_equal(io_sync_parent("/in-the-root"), 0);
}

static void clock_goes_forward(void **state)
{
	uint64_t a = io_now_ms();

	assert_true(a > 0 && io_now_ms() >= a);
}

static void without_memory(void **state)
{
	char *text = NULL;

	assert_int_equal(io_write_file_atomic(tmpfd, "f", "x", 1, 0600), 0);
	oom_from(0);
	assert_int_equal(io_read_file(tmpfd, "f", 16, &text, NULL), -ENOMEM);
	assert_null(text);
	assert_int_equal(io_mkdirs(tmp, 0700), -ENOMEM);
	assert_true(oom_off());
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(write_then_read, make, drop),
		cmocka_unit_test_setup_teardown(empty_file, make, drop),
		cmocka_unit_test_setup_teardown(read_refuses_what_is_too_big_or_missing, make, drop),
		cmocka_unit_test_setup_teardown(atomic_write_that_fails_leaves_the_old_file, make, drop),
		cmocka_unit_test(whole_writes_and_reads_over_a_socket),
		cmocka_unit_test(read_to_end_is_bounded),
		cmocka_unit_test(nonblock),
		cmocka_unit_test_setup_teardown(mkdirs_makes_parents, make, drop),
		cmocka_unit_test_setup_teardown(remove_tree_never_follows_symlinks, make, drop),
		cmocka_unit_test_setup_teardown(sockets_below_long_paths, make, drop),
		cmocka_unit_test_setup_teardown(peer_uid_of_no_socket, make, drop),
		cmocka_unit_test_setup_teardown(the_parent_of_a_path_is_synced, make, drop),
		cmocka_unit_test(clock_goes_forward),
		cmocka_unit_test_setup_teardown(without_memory, make, drop),
	};

	return cmocka_run_group_tests_name("io", tests, NULL, NULL);
}
