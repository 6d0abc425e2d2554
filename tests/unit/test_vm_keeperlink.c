/* SPDX-License-Identifier: Apache-2.0
 *
 * The supervisor's way to sbx-keeper: it starts the real one, once, and a reply that is no reply is an error. The program
 * that is started stands beside the running one, so that this test runs from a directory of its own with sbx-keeper in it.
 */
#include "vm/keeperlink.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/env.h"
#include "base/own.h"
#include "base/spawn.h"
#include "base/str.h"
#include "unit.h"
#include "wire/keepermsg.h"

#define A "01234567-89ab-cdef-0123-456789abcdef"
#define B "01234567-89ab-cdef-0123-456789abcdee"

static char dir[256];

static void make_runtime(void)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/run", dir);
	assert_int_equal(io_mkdirs(path, 0700), 0);
	assert_int_equal(setenv("XDG_RUNTIME_DIR", path, 1), 0);
	(void)snprintf(path, sizeof(path), "%s/state", dir);
	assert_int_equal(setenv("XDG_STATE_HOME", path, 1), 0);
}

static int setup(void **state)
{
	unit_tmpdir_make(dir, sizeof(dir));
	make_runtime();
	return 0;
}

/* The keeper that runs here, from its own word; 0: none. */
static pid_t keeper_pid(void)
{
	static struct keepermsg_reply reply;
	char path[300], in[1000];
	auto_fd int d = -1, fd = -1;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "%s/run/sbx", dir);
	d = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = d < 0 ? -1 : io_packet_connect(d, "keeper.sock");
	if (fd < 0)
		return 0;
	assert_int_equal(send(fd, "{\"op\":\"version\"}", 16, MSG_NOSIGNAL), 16);
	n = recv(fd, in, sizeof(in), 0);
	assert_true(n > 0);
	assert_int_equal(keepermsg_decode_reply(KEEPERMSG_VERSION, in, (size_t)n, &reply, NULL), 0);
	return (pid_t)reply.pid;
}

static int teardown(void **state)
{
	pid_t pid = keeper_pid();

	if (pid > 1)
		assert_int_equal(kill(pid, SIGTERM), 0);
	unit_tmpdir_remove(dir);
	return 0;
}

static char hash[KEEPERMSG_HASH];

static void attached_is_only_this_sandbox(void **state)
{
	auto_free char *ca_a = NULL, *ca_b = NULL, *again = NULL;
	auto_fd int a = -1, b = -1, c = -1;
	char in[1000];
	struct err err = { 0 };
	static const char define[] = "{\"op\":\"oauth-define\",\"services\":[]}";
	json_t *names = NULL;

	a = keeperlink_attach(A, NULL, &ca_a, hash, &names, &err);
	if (a < 0)
		fail_msg("%s", err.msg);
	b = keeperlink_attach(B, NULL, &ca_b, hash, NULL, &err);
	c = keeperlink_attach(A, NULL, &again, hash, NULL, &err);
	assert_true(b >= 0 && c >= 0);
	assert_true(json_is_object(names) && json_object_size(names) == 0);
	json_decref(names);
	/* What can be signed in at has been said: nobody says it later. */
	assert_true(send(a, define, strlen(define), MSG_NOSIGNAL) > 0);
	assert_true(recv(a, in, sizeof(in), 0) > 0);
	assert_non_null(strstr(in, "denied"));
	assert_string_equal(ca_a, again);
	assert_int_equal(strlen(hash), 8);
	assert_string_not_equal(ca_a, ca_b);
	assert_true(str_starts(ca_a, "-----BEGIN CERTIFICATE-----\n"));
	assert_true(send(a, "{\"op\":\"forget\",\"sandbox\":\"" B "\"}", strlen(B) + 28, MSG_NOSIGNAL) > 0);
	assert_true(recv(a, in, sizeof(in), 0) > 0);
	assert_non_null(strstr(in, "\"error\""));
}

static void ten_at_once_start_one(void **state)
{
	pid_t pids[10], keeper;
	int fds[2];
	char all[11] = "";

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			char *ca = NULL;
			int fd = keeperlink_attach(A, NULL, &ca, hash, NULL, NULL);

			free(ca);
			_exit(fd >= 0 && write(fds[1], "x", 1) == 1 ? 0 : 1);
		}
	}
	keeper = 0;
	for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
		int status = -1;

		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
		if (keeper)
			assert_int_equal(keeper_pid(), keeper);
		keeper = keeper_pid();
		assert_true(keeper > 1);
	}
	assert_int_equal(read(fds[0], all, 10), 10);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void one_that_died_is_started_again(void **state)
{
	auto_free char *before = NULL, *after = NULL;
	auto_fd int a = keeperlink_attach(A, NULL, &before, hash, NULL, NULL), b = -1;
	pid_t first = keeper_pid();
	char c;

	assert_true(a >= 0 && first > 1);
	assert_int_equal(kill(first, SIGKILL), 0);
	assert_int_equal(recv(a, &c, 1, 0), 0);
	b = keeperlink_attach(A, NULL, &after, hash, NULL, NULL);
	assert_true(b >= 0);
	assert_int_not_equal(keeper_pid(), first);
	assert_string_equal(before, after);
}

static void nonsense_is_an_error(void **state)
{
	struct err err = { 0 };
	char *ca = NULL;

	assert_int_equal(keeperlink_attach("x", NULL, &ca, hash, NULL, &err), -EINVAL);
	assert_int_equal(keeperlink_attach(A "0", NULL, &ca, hash, NULL, &err), -EINVAL);
	assert_null(ca);
}

/* A keeper that ends instead of answering is tried once more; one that lies is not believed. */
static void a_keeper_of_another_kind(void **state)
{
	static const char *const replies[] = { "", "{\"ok\":true}", "{\"ok\":true,\"ca\":1}", "nonsense" };
	char path[300];
	struct err err;
	char *ca = NULL;
	int listener, d;

	(void)snprintf(path, sizeof(path), "%s/run/sbx", dir);
	assert_int_equal(io_mkdirs(path, 0700), 0);
	d = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	listener = io_packet_listen(d, "keeper.sock", 8);
	assert_true(listener >= 0);
	for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
		pid_t pid = fork();
		int status = -1;

		if (pid == 0) {
			for (int times = i == 0 ? 2 : 1; times > 0; times--) {
				int fd = accept(listener, NULL, NULL);
				char in[1000];

				if (fd < 0 || recv(fd, in, sizeof(in), 0) <= 0)
					_exit(1);
				if (i > 0 && send(fd, replies[i], strlen(replies[i]), MSG_NOSIGNAL) < 0)
					_exit(1);
				(void)close(fd);
			}
			_exit(0);
		}
		err = (struct err){ 0 };
		assert_true(keeperlink_attach(A, NULL, &ca, hash, NULL, &err) < 0);
		assert_null(ca);
		assert_non_null(strstr(err.msg, "sbx-keeper"));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	(void)close(listener);
	(void)close(d);
}

struct waiting {
	uv_loop_t loop;
	uv_timer_t timer;
	pid_t keeper;
	int got; /* -1: not yet; 0: nothing; 1 */
	struct keeperlink_try *try; /* to be cancelled by the timer; NULL: the keeper goes on then */
	bool ticked;
};

static void on_got(void *user, struct keeperlink_got *got, const struct err *err)
{
	struct waiting *w = user;

	w->got = got != NULL;
	if (!got)
		return;
	(void)close(got->fd);
	free(got->ca);
	json_decref(got->signed_in);
}

static void on_tick(uv_timer_t *t)
{
	struct waiting *w = t->data;

	w->ticked = true;
	assert_int_equal(w->got, -1);
	if (w->try)
		keeperlink_cancel(w->try);
	else
		assert_int_equal(kill(w->keeper, SIGCONT), 0);
	uv_close((uv_handle_t *)t, NULL);
}

static void attach_in_a_loop(pid_t keeper, bool cancel, int want)
{
	struct waiting w = { .keeper = keeper, .got = -1 };
	struct keeperlink_try *try;
	uint64_t begun = io_now_ms();

	assert_int_equal(uv_loop_init(&w.loop), 0);
	assert_int_equal(kill(keeper, SIGSTOP), 0);
	try = keeperlink_start(&w.loop, A, NULL, on_got, &w);
	assert_non_null(try);
	w.try = cancel ? try : NULL;
	(void)uv_timer_init(&w.loop, &w.timer);
	w.timer.data = &w;
	(void)uv_timer_start(&w.timer, on_tick, 100, 0);
	(void)uv_run(&w.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w.loop), 0);
	(void)kill(keeper, SIGCONT);
	assert_true(w.ticked);
	assert_int_equal(w.got, want);
	/* Far less than what a keeper that hangs is waited for. */
	assert_true(io_now_ms() - begun < 4000);
}

/* The loop goes on meanwhile, and need not wait for it at its end. */
static void one_that_hangs_holds_up_nothing(void **state)
{
	auto_free char *ca = NULL;
	auto_fd int fd = keeperlink_attach(A, NULL, &ca, hash, NULL, NULL);
	pid_t keeper = keeper_pid();

	assert_true(fd >= 0 && keeper > 1);
	attach_in_a_loop(keeper, false, 1);
	attach_in_a_loop(keeper, true, -1);
}

/* Runs this program once more from a directory that has sbx-keeper beside it. */
static void move_beside_keeper(void)
{
	char home[256], self[64], copy[300], link[300], keeper[5000];
	const char *const cp[] = { "cp", self, copy, NULL };
	const char *const again[] = { copy, "moved", NULL };
	auto_fd int pidfd = -1;
	int status = -1;

	unit_tmpdir_make(home, sizeof(home));
	(void)snprintf(self, sizeof(self), "/proc/%d/exe", getpid());
	(void)snprintf(copy, sizeof(copy), "%s/test", home);
	(void)snprintf(link, sizeof(link), "%s/sbx-keeper", home);
	(void)snprintf(keeper, sizeof(keeper), "%s/../bin/sbx-keeper", env_bindir());
	assert_int_equal(symlink(keeper, link), 0);
	assert_int_equal(spawn_run(&(struct spawn){ .path = "cp", .argv = cp, .stdin_fd = -1 }, 10000, 0, NULL, NULL), 0);
	assert_int_equal(spawn_start(&(struct spawn){ .path = copy, .argv = again, .stdin_fd = -1, .stdout_fd = 1,
						      .stderr_fd = 2 },
				     NULL, &pidfd, NULL),
			 0);
	assert_int_equal(spawn_wait(pidfd, 100000, &status), 0);
	unit_tmpdir_remove(home);
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(attached_is_only_this_sandbox, setup, teardown),
		cmocka_unit_test_setup_teardown(ten_at_once_start_one, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_died_is_started_again, setup, teardown),
		cmocka_unit_test_setup_teardown(nonsense_is_an_error, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_hangs_holds_up_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_keeper_of_another_kind, setup, teardown),
	};

	if (argc < 2)
		move_beside_keeper();
	return cmocka_run_group_tests_name("vm_keeperlink", tests, NULL, NULL);
}
