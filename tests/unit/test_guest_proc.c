/* SPDX-License-Identifier: Apache-2.0
 *
 * proc: the PATH search's candidates, the words for a failure, and real processes of the user that runs the tests.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "guest/proc.h"
#include "oom.h"

static void a_path_is_searched_in_order(void **state)
{
	char **c = proc_candidates("ls", "/a:/b::/c");

	assert_string_equal(c[0], "/a/ls");
	assert_string_equal(c[1], "/b/ls");
	assert_string_equal(c[2], "./ls");
	assert_string_equal(c[3], "/c/ls");
	assert_null(c[4]);
	proc_candidates_free(c);
	c = proc_candidates("ls", "");
	assert_string_equal(c[0], "./ls");
	assert_null(c[1]);
	proc_candidates_free(c);
	c = proc_candidates("ls", "/a:");
	assert_string_equal(c[1], "./ls");
	assert_null(c[2]);
	proc_candidates_free(c);
}

static void a_slash_ends_the_search(void **state)
{
	char **c = proc_candidates("./ls", "/a:/b");

	assert_string_equal(c[0], "./ls");
	assert_null(c[1]);
	proc_candidates_free(c);
}

static void a_path_has_a_maximum(void **state)
{
	char path[2048];
	char **c;
	size_t n = 0;

	memset(path, ':', sizeof(path) - 1);
	path[sizeof(path) - 1] = 0;
	c = proc_candidates("x", path);
	while (c[n])
		n++;
	assert_int_equal(n, 256);
	proc_candidates_free(c);
	for (long i = 0;; i++) {
		oom_from(i);
		c = proc_candidates("x", "/a:/b");
		if (!oom_off())
			break;
		assert_null(c);
	}
	proc_candidates_free(c);
}

static void failures_are_told_in_words(void **state)
{
	struct proc_failure f = { .step = PROC_STEP_EXEC, .errnum = ENOENT };
	struct err err = { 0 };

	assert_int_equal(proc_explain(&f, "nope", "/w", "agent", &err), -ENOENT);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_string_equal(err.msg, "nope: command not found");
	f.errnum = EACCES;
	assert_int_equal(proc_explain(&f, "/etc/passwd", "/w", "agent", &err), -EACCES);
	assert_int_equal(err.kind, ERR_DENIED);
	f.step = PROC_STEP_CWD;
	assert_true(proc_explain(&f, "x", "/some/dir", "agent", &err) < 0);
	assert_non_null(strstr(err.msg, "/some/dir"));
	f = (struct proc_failure){ .step = 99, .errnum = -5 };
	assert_true(proc_explain(&f, "x", "/w", "agent", &err) < 0);
}

/* Runs argv with its output in a pipe; the failure it reported, or step 0. */
static struct proc_failure run(char *const *argv, const char *cwd, bool optional, char *out, size_t size, int *ret_status)
{
	struct user u = { .uid = getuid(), .gid = getgid(), .name = "me" };
	char *envp[] = { NULL };
	auto_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct proc_failure f = { 0 };
	struct err err = { 0 };
	struct proc p;
	int pipe_fds[2], status = -1;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	p = (struct proc){ .argv = argv, .envp = envp, .path = "/nonexistent:/usr/bin:/bin", .cwd = cwd, .cwd_optional = optional,
			   .user = &u, .in = null, .out = pipe_fds[1], .err = null };
	assert_int_equal(proc_start(&p, &pid, &status, &err), 0);
	(void)close(pipe_fds[1]);
	n = io_read_full(status, &f, sizeof(f));
	assert_true(n == 0 || n == (ssize_t)sizeof(f));
	(void)close(status);
	n = io_read_full(pipe_fds[0], out, size - 1);
	assert_true(n >= 0);
	out[n] = 0;
	(void)close(pipe_fds[0]);
	assert_int_equal(waitpid(pid, ret_status, 0), pid);
	return f;
}

static char *text(const char *s)
{
	return (char *)(uintptr_t)s;
}

static void a_program_runs_in_a_session_of_its_own(void **state)
{
	char *const argv[] = { text("sh"), text("-c"),
			       text("echo $PWD; set -- $(cat /proc/self/stat); [ $5 = $6 ] && echo leader; ls /proc/self/fd | wc -l"),
			       NULL };
	char out[256];
	struct proc_failure f;
	int status;

	if (geteuid() != 0)
		skip(); /* setgroups */
	f = run(argv, "/usr", false, out, sizeof(out), &status);
	assert_int_equal(f.step, 0);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	/* 0, 1, 2 and the directory that ls reads. */
	assert_string_equal(out, "/usr\nleader\n4\n");
}

static void what_cannot_run_says_why(void **state)
{
	char *const missing[] = { text("no-such-program"), NULL }, *const denied[] = { text("/etc/passwd"), NULL };
	char *const ok[] = { text("pwd"), NULL };
	char out[64];
	struct proc_failure f;
	int status;

	if (geteuid() != 0)
		skip();
	f = run(missing, "/", false, out, sizeof(out), &status);
	assert_int_equal(f.step, PROC_STEP_EXEC);
	assert_int_equal(f.errnum, ENOENT);
	f = run(denied, "/", false, out, sizeof(out), &status);
	assert_int_equal(f.step, PROC_STEP_EXEC);
	assert_int_equal(f.errnum, EACCES);
	f = run(ok, "/no/such/dir", false, out, sizeof(out), &status);
	assert_int_equal(f.step, PROC_STEP_CWD);
	f = run(ok, "/no/such/dir", true, out, sizeof(out), &status);
	assert_int_equal(f.step, 0);
	assert_string_equal(out, "/\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_is_searched_in_order),
		cmocka_unit_test(a_slash_ends_the_search),
		cmocka_unit_test(a_path_has_a_maximum),
		cmocka_unit_test(failures_are_told_in_words),
		cmocka_unit_test(a_program_runs_in_a_session_of_its_own),
		cmocka_unit_test(what_cannot_run_says_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
