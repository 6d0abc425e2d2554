/* SPDX-License-Identifier: Apache-2.0
 *
 * Children: exactly the descriptors that were given, errors of exec, deadlines, bounds on output.
 */
#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "unit.h"

static struct spawn shell(const char *const argv[4])
{
	return (struct spawn){ .path = "/bin/sh", .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1 };
}
#define SH(text) ((const char *const[4]){ "sh", "-c", text, NULL })

static void exit_code_and_signal_are_told(void **state)
{
	static const struct {
		const char *text;
		int status;
	} cases[] = { { "exit 0", 0 }, { "exit 7", 7 << 8 }, { "kill -TERM $$", SIGTERM }, { "kill -KILL $$", SIGKILL } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct spawn s = shell(SH(cases[i].text));
		auto_fd int pidfd = -1;
		int status = -1;
		pid_t pid = 0;

		assert_int_equal(spawn_start(&s, &pid, &pidfd, NULL), 0);
		assert_true(pid > 0 && pidfd >= 0);
		assert_int_equal(spawn_wait(pidfd, 10000, &status), 0);
		assert_int_equal(status, cases[i].status);
		assert_int_equal(waitpid(pid, NULL, WNOHANG), -1); /* reaped */
	}
}

static void no_such_program_is_an_error_of_the_call(void **state)
{
	struct spawn s = shell(SH("exit 0"));
	struct err err = { 0 };
	int pidfd = -1;

	s.path = "/no/such/program";
	assert_int_equal(spawn_start(&s, NULL, &pidfd, &err), -ENOENT);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_non_null(strstr(err.msg, "/no/such/program"));
	assert_int_equal(pidfd, -1);
	s.path = "/etc/passwd";
	assert_int_equal(spawn_start(&s, NULL, &pidfd, &err), -EACCES);
	s.path = "/bin/sh";
	s.cwd = "/no/such/directory";
	assert_int_equal(spawn_start(&s, NULL, &pidfd, &err), -ENOENT);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nobody is left */
}

static void only_the_given_descriptors_arrive_in_order(void **state)
{
	struct spawn s = shell(SH("cat <&3; cat <&4; ls /proc/$$/fd"));
	auto_free char *out = NULL;
	auto_fd int stray = open("/dev/null", O_RDONLY); /* not CLOEXEC on purpose */
	int a[2], b[2], fds[2];

	assert_true(stray > 2);
	assert_int_equal(pipe(a) | pipe(b), 0);
	assert_int_equal(io_write_all(a[1], "A", 1) | io_write_all(b[1], "B", 1), 0);
	own_close_p(&a[1]);
	own_close_p(&b[1]);
	fds[0] = b[0]; /* the higher number first: placing must not overwrite */
	fds[1] = a[0];
	s.fds = fds;
	s.nfds = 2;
	assert_int_equal(spawn_run(&s, 10000, 1000, &out, NULL), 0);
	assert_string_equal(out, "BA0\n1\n2\n3\n4\n");
	own_close_p(&a[0]);
	own_close_p(&b[0]);
}

static void descriptor_may_be_given_twice_or_be_a_target(void **state)
{
	struct spawn s = shell(SH("cat <&5"));
	auto_free char *out = NULL;
	int p[2], fds[3];

	assert_int_equal(pipe(p), 0);
	assert_int_equal(io_write_all(p[1], "x", 1), 0);
	own_close_p(&p[1]);
	fds[0] = fds[1] = fds[2] = p[0];
	s.fds = fds;
	s.nfds = 3;
	assert_int_equal(spawn_run(&s, 10000, 1000, &out, NULL), 0);
	assert_string_equal(out, "x");
	own_close_p(&p[0]);
}

static void too_many_descriptors_are_refused(void **state)
{
	int fds[SPAWN_MAX_FDS + 1] = { 0 };
	struct spawn s = shell(SH("exit 0"));
	struct err err = { 0 };

	s.fds = fds;
	s.nfds = SPAWN_MAX_FDS + 1;
	assert_int_equal(spawn_start(&s, NULL, NULL, &err), -E2BIG);
	assert_int_equal(err.kind, ERR_INTERNAL);
}

/* Of "NAME:\t<16 hex digits>" the bits of signals 1 to 31: glibc keeps 32 and 33 for itself and touches neither. */
static unsigned long signal_bits(const char *text, const char *name)
{
	const char *at = strstr(text, name);
	unsigned long bits = 0;

	assert_non_null(at);
	assert_int_equal(sscanf(at + strlen(name), ":\t%lx", &bits), 1);
	return bits & 0x7fffffff;
}

static void signals_are_reset(void **state)
{
	struct spawn s = shell(SH("exec cat /proc/self/status"));
	auto_free char *out = NULL;
	sigset_t block, old;
	void (*was)(int) = signal(SIGPIPE, SIG_IGN);

	(void)sigemptyset(&block);
	(void)sigaddset(&block, SIGUSR1);
	assert_int_equal(sigprocmask(SIG_BLOCK, &block, &old), 0);
	assert_int_equal(spawn_run(&s, 10000, 10000, &out, NULL), 0);
	assert_int_equal(sigprocmask(SIG_SETMASK, &old, NULL), 0);
	(void)signal(SIGPIPE, was);
	assert_int_equal(signal_bits(out, "SigBlk"), 0);
	assert_int_equal(signal_bits(out, "SigIgn"), 0);
}

static void environment_and_directory(void **state)
{
	static const char *const env[] = { "ONLY=this", NULL };
	struct spawn s = shell(SH("echo \"$ONLY $HOME\"; pwd; cat"));
	auto_free char *out = NULL;

	s.envp = env;
	s.cwd = "/usr";
	assert_int_equal(spawn_run(&s, 10000, 1000, &out, NULL), 0);
	assert_string_equal(out, "this \n/usr\n");
}

static void run_quotes_the_last_line_of_stderr(void **state)
{
	struct spawn s = shell(SH("echo first >&2; echo 'the reason' >&2; exit 3"));
	struct err err = { 0 };
	char *out = NULL;

	assert_true(spawn_run(&s, 10000, 1000, &out, &err) < 0);
	assert_null(out);
	assert_non_null(strstr(err.msg, "the reason"));
	assert_non_null(strstr(err.msg, "exit 3"));
	assert_null(strstr(err.msg, "first"));
}

static void run_has_a_deadline(void **state)
{
	struct spawn s = shell(SH("exec sleep 600"));
	struct err err = { 0 };
	uint64_t start = io_now_ms();

	assert_int_equal(spawn_run(&s, 100, 1000, NULL, &err), -ETIMEDOUT);
	assert_int_equal(err.kind, ERR_TIMEOUT);
	assert_true(io_now_ms() - start < 30000);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void run_bounds_its_output(void **state)
{
	struct spawn s = shell(SH("exec yes"));
	struct spawn talk = shell(SH("yes | head -c 1000000 >&2; echo end"));
	char *out = NULL;

	assert_int_equal(spawn_run(&s, 10000, 100000, &out, NULL), -EMSGSIZE);
	assert_null(out);
	/* stderr has no bound on what is said, only on what is kept. */
	assert_int_equal(spawn_run(&talk, 30000, 100, &out, NULL), 0);
	assert_string_equal(out, "end\n");
	free(out);
}

static void wait_has_a_deadline(void **state)
{
	struct spawn s = shell(SH("exec sleep 600"));
	auto_fd int pidfd = -1;
	pid_t pid = 0;
	int status = 0;

	assert_int_equal(spawn_start(&s, &pid, &pidfd, NULL), 0);
	assert_int_equal(spawn_wait(pidfd, 0, &status), -ETIMEDOUT);
	assert_int_equal(spawn_wait(pidfd, 50, &status), -ETIMEDOUT);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(spawn_wait(pidfd, 10000, &status), 0);
	assert_int_equal(status, SIGKILL);
}

static void new_session_is_nobodys_child(void **state)
{
	struct spawn s = shell(SH("set -- $(cat /proc/$$/stat); echo $$ $4 $6; exec >&-; read line"));
	auto_fd int rd = -1, keep = -1;
	int out[2], in[2], pidfd = -1, pid, ppid, session;
	char text[128] = "";

	assert_int_equal(pipe2(out, O_CLOEXEC) | pipe2(in, O_CLOEXEC), 0);
	rd = out[0];
	keep = in[1]; /* it ends when we do */
	s.stdin_fd = in[0];
	s.stdout_fd = out[1];
	s.new_session = true;
	assert_int_equal(spawn_start(&s, NULL, &pidfd, NULL), 0);
	assert_int_equal(pidfd, -1);
	own_close_p(&out[1]);
	own_close_p(&in[0]);
	assert_true(io_read_full(rd, text, sizeof(text) - 1) > 0);
	assert_int_equal(sscanf(text, "%d %d %d", &pid, &ppid, &session), 3);
	assert_int_not_equal(ppid, getpid());
	assert_int_not_equal(session, getsid(0));
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* The parent is a process of its own here, which dies; the child's end is seen by the pipe that it held. */
static void child_dies_with_its_parent(void **state)
{
	int p[2];
	char c;
	pid_t parent;

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	parent = fork();
	assert_true(parent >= 0);
	if (parent == 0) {
		struct spawn s = shell(SH("exec sleep 600"));
		int pidfd = -1;

		s.stdout_fd = p[1];
		s.die_with_parent = true;
		_exit(spawn_start(&s, NULL, &pidfd, NULL) == 0 ? 0 : 1);
	}
	own_close_p(&p[1]);
	assert_int_equal(waitpid(parent, NULL, 0), parent);
	assert_int_equal(io_read_full(p[0], &c, 1), 0);
	own_close_p(&p[0]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(exit_code_and_signal_are_told),
		cmocka_unit_test(no_such_program_is_an_error_of_the_call),
		cmocka_unit_test(only_the_given_descriptors_arrive_in_order),
		cmocka_unit_test(descriptor_may_be_given_twice_or_be_a_target),
		cmocka_unit_test(too_many_descriptors_are_refused),
		cmocka_unit_test(signals_are_reset),
		cmocka_unit_test(environment_and_directory),
		cmocka_unit_test(run_quotes_the_last_line_of_stderr),
		cmocka_unit_test(run_has_a_deadline),
		cmocka_unit_test(run_bounds_its_output),
		cmocka_unit_test(wait_has_a_deadline),
		cmocka_unit_test(new_session_is_nobodys_child),
		cmocka_unit_test(child_dies_with_its_parent),
	};

	return cmocka_run_group_tests_name("spawn", tests, NULL, NULL);
}
