/* SPDX-License-Identifier: Apache-2.0
 *
 * attach: a client process against a supervisor that this test plays: exit statuses, where bytes go, ends of input,
 * signals, back-pressure, the terminal's state, and a supervisor that lies or dies.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "cli/attach.h"
#include "wire/record.h"

#define WAIT_MS 20000
/* How the client process says that attach_run returned an error. */
#define OWN_ERROR 99

static char dir[200];
static int listener = -1;

struct world {
	pid_t pid;
	int vm;              /* our end of the session */
	int in, out, err;    /* the client's stdin (to write), stdout and stderr (to read) */
	int terminal;        /* the master where the client has a terminal, else -1 */
	struct buf received; /* from the client */
	char start[1024];    /* the START record */
};

/* ---- the client ---- */

static void client(bool tty, bool input) __attribute__((noreturn));
static void client(bool tty, bool input)
{
	json_t *start = json_pack("{s:[s], s:b}", "argv", "prog", "tty", tty);
	struct cli c = { 0 };
	char path[300];
	struct attach a = { .name = "box", .socket = path, .start = start, .tty = tty, .input = input };
	int r;

	(void)snprintf(path, sizeof(path), "%s/vm.sock", dir);
	r = attach_run(&c, &a);
	if (r < 0)
		cli_print_error(&c);
	exit(r < 0 ? OWN_ERROR : r);
}

static void pipes(int p[3][2])
{
	for (int i = 0; i < 3; i++)
		assert_int_equal(pipe2(p[i], O_CLOEXEC), 0);
}

static void launch_piped(struct world *w, bool input)
{
	int p[3][2];

	pipes(p);
	w->pid = fork();
	assert_true(w->pid >= 0);
	if (w->pid == 0) {
		(void)dup2(p[0][0], 0);
		(void)dup2(p[1][1], 1);
		(void)dup2(p[2][1], 2);
		(void)close_range(3, ~0U, 0);
		client(false, input);
	}
	(void)close(p[0][0]);
	(void)close(p[1][1]);
	(void)close(p[2][1]);
	w->in = p[0][1];
	w->out = p[1][0];
	w->err = p[2][0];
	w->terminal = -1;
}

static void launch_terminal(struct world *w)
{
	struct winsize ws = { .ws_row = 30, .ws_col = 100 };

	w->pid = forkpty(&w->terminal, NULL, NULL, &ws);
	assert_true(w->pid >= 0);
	if (w->pid == 0)
		client(true, true);
	w->in = w->out = w->err = -1;
}

/* ---- the supervisor ---- */

static void wait_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
}

/* The next record of the client; its bytes are copied. */
static enum record_type next(struct world *w, char *data, size_t size)
{
	struct record rec;
	int n;

	while ((n = record_decode(buf_bytes(&w->received), buf_len(&w->received), &rec)) == 0) {
		uint8_t bytes[4096];
		ssize_t got;

		wait_readable(w->vm);
		got = read(w->vm, bytes, sizeof(bytes));
		assert_true(got > 0);
		assert_int_equal(buf_append(&w->received, bytes, (size_t)got), 0);
	}
	assert_true(n > 0);
	if (data) {
		assert_true(rec.len < size);
		memcpy(data, rec.data, rec.len);
		data[rec.len] = 0;
	}
	buf_consume(&w->received, (size_t)n);
	return rec.type;
}

static void say(struct world *w, enum record_type type, const void *data, size_t n)
{
	struct buf b;

	buf_init(&b, RECORD_HEAD + RECORD_MAX);
	assert_int_equal(record_encode(&b, type, data, n), 0);
	assert_int_equal(io_write_all(w->vm, buf_bytes(&b), buf_len(&b)), 0);
	buf_done(&b);
}

static void say_started(struct world *w)
{
	say(w, RECORD_STARTED, "\0\0\0\7", 4);
}

static void say_exit(struct world *w, uint8_t how, uint8_t code)
{
	say(w, RECORD_EXIT, (uint8_t[]){ how, code }, 2);
}

/* Takes the connection and its first records. */
static void accept_session(struct world *w)
{
	char request[100];

	wait_readable(listener);
	w->vm = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(w->vm >= 0);
	buf_init(&w->received, 1 << 20);
	assert_int_equal(next(w, request, sizeof(request)), RECORD_REQUEST);
	assert_string_equal(request, "{\"op\":\"exec\"}");
	assert_int_equal(next(w, w->start, sizeof(w->start)), RECORD_START);
}

static void begin(struct world *w, bool input)
{
	*w = (struct world){ 0 };
	launch_piped(w, input);
	accept_session(w);
}

static void read_text(int fd, char *dst, size_t size)
{
	size_t n = 0;
	ssize_t got;

	while (n + 1 < size && (wait_readable(fd), got = read(fd, dst + n, size - 1 - n)) > 0)
		n += (size_t)got;
	dst[n] = 0;
}

static int end(struct world *w)
{
	int status, fds[] = { w->vm, w->in, w->out, w->err, w->terminal };

	alarm(WAIT_MS / 1000);
	assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
	alarm(0);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
	buf_done(&w->received);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* ---- the tests ---- */

static void exit_code(void **state)
{
	struct world w;
	char text[100];

	begin(&w, false);
	assert_non_null(strstr(w.start, "\"argv\":[\"prog\"]"));
	assert_int_equal(next(&w, NULL, 0), RECORD_STDIN_EOF);
	say_started(&w);
	say(&w, RECORD_STDOUT, "out", 3);
	say(&w, RECORD_STDERR, "err", 3);
	say(&w, RECORD_STDOUT, "", 0);
	say(&w, RECORD_STDOUT, "put", 3);
	say_exit(&w, 0, 42);
	read_text(w.out, text, sizeof(text));
	assert_string_equal(text, "output");
	read_text(w.err, text, sizeof(text));
	assert_string_equal(text, "err");
	assert_int_equal(end(&w), 42);
}

static void killed(void **state)
{
	struct world w;

	begin(&w, false);
	say_started(&w);
	say_exit(&w, 1, SIGSEGV);
	assert_int_equal(end(&w), 128 + SIGSEGV);
}

static void input_and_its_end(void **state)
{
	struct world w;
	char text[100];

	begin(&w, true);
	assert_int_equal(write(w.in, "early", 5), 5);
	say_started(&w);
	assert_int_equal(next(&w, text, sizeof(text)), RECORD_STDIN);
	assert_string_equal(text, "early");
	assert_int_equal(close(w.in), 0);
	w.in = -1;
	assert_int_equal(next(&w, text, sizeof(text)), RECORD_STDIN_EOF);
	/* The end of input does not end the output. */
	say(&w, RECORD_STDOUT, "late", 4);
	say_exit(&w, 0, 0);
	read_text(w.out, text, sizeof(text));
	assert_string_equal(text, "late");
	assert_int_equal(end(&w), 0);
}

static void signals(void **state)
{
	static const int all[] = { SIGINT, SIGTERM, SIGQUIT, SIGHUP };
	struct world w;
	char text[10];

	begin(&w, true);
	say_started(&w);
	/* The client is past STARTED when it sends input. */
	assert_int_equal(write(w.in, "x", 1), 1);
	assert_int_equal(next(&w, text, sizeof(text)), RECORD_STDIN);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		assert_int_equal(kill(w.pid, all[i]), 0);
		assert_int_equal(next(&w, text, sizeof(text)), RECORD_SIGNAL);
		assert_int_equal(text[0], all[i]);
	}
	say_exit(&w, 1, SIGHUP);
	assert_int_equal(end(&w), 128 + SIGHUP);
}

static void impatience(void **state)
{
	struct world w;
	char text[10];

	begin(&w, true);
	say_started(&w);
	assert_int_equal(write(w.in, "x", 1), 1);
	assert_int_equal(next(&w, text, sizeof(text)), RECORD_STDIN);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(kill(w.pid, SIGINT), 0);
		assert_int_equal(next(&w, text, sizeof(text)), RECORD_SIGNAL);
	}
	assert_int_equal(kill(w.pid, SIGINT), 0);
	assert_int_equal(end(&w), 128 + SIGINT);
}

static void failed(void **state)
{
	static const char missing[] = "{\"kind\":\"not_found\",\"errno\":2,\"message\":\"no\\u001b[1mprog\"}";
	static const char denied[] = "{\"kind\":\"denied\",\"errno\":13,\"message\":\"may not\"}";
	struct world w;
	char text[200];

	begin(&w, false);
	say(&w, RECORD_FAILED, missing, strlen(missing));
	read_text(w.err, text, sizeof(text));
	assert_string_equal(text, "error: no\\x1b[1mprog\n");
	assert_int_equal(end(&w), 127);
	begin(&w, false);
	say(&w, RECORD_FAILED, denied, strlen(denied));
	assert_int_equal(end(&w), 126);
}

static void refused(void **state)
{
	static const char reply[] = "{\"error\":{\"kind\":\"conflict\",\"message\":\"it is stopping\"}}";
	struct world w;
	char text[200];

	begin(&w, false);
	say(&w, RECORD_REPLY, reply, strlen(reply));
	read_text(w.err, text, sizeof(text));
	assert_string_equal(text, "error: it is stopping\n");
	assert_int_equal(end(&w), OWN_ERROR);
}

/* Runs one session in which the supervisor says `bytes` and hangs up. */
static void expect_broken(const char *bytes, size_t n, const char *message)
{
	struct world w;
	char text[300];

	begin(&w, false);
	assert_int_equal(io_write_all(w.vm, bytes, n), 0);
	(void)shutdown(w.vm, SHUT_WR);
	read_text(w.err, text, sizeof(text));
	if (!strstr(text, message))
		fail_msg("no '%s' in '%s'", message, text);
	assert_int_equal(end(&w), OWN_ERROR);
}

static void broken(void **state)
{
	expect_broken("", 0, "before it could start");
	expect_broken("\x20\0\0\4\0\0\0\7", 8, "before the program did");
	expect_broken("\x20\0\0\4\0\0\0\7\x21\0\0\5hi", 10, "before the program did");
	expect_broken("\x21\0\0\2hi", 6, "broke the protocol");                             /* output before STARTED */
	expect_broken("\x20\0\0\4\0\0\0\7\x20\0\0\4\0\0\0\7", 16, "broke the protocol");    /* STARTED twice */
	expect_broken("\x11\0\0\2hi", 6, "broke the protocol");                             /* a client's type */
	expect_broken("\x7f\0\0\2hi", 6, "broke the protocol");                             /* no type at all */
	expect_broken("\x20\0\0\4\0\0\0\7\x21\2\0\0", 12, "broke the protocol");            /* past RECORD_MAX */
	expect_broken("\x20\0\0\4\0\0\0\7\x23\0\0\2\7\7", 14, "broke the protocol");        /* a strange way to end */
	expect_broken("\x20\0\0\4\0\0\0\7\x23\0\0\2\1\xff", 14, "broke the protocol");      /* a strange signal */
	expect_broken("\x24\0\0\2{}", 6, "unreadable");
	expect_broken("\x24\0\0\3{\"a", 7, "unreadable");
}

static void reader_goes_away(void **state)
{
	struct world w;

	begin(&w, false);
	say_started(&w);
	(void)close(w.out);
	w.out = -1;
	say(&w, RECORD_STDOUT, "nobody reads this", 17);
	assert_int_equal(end(&w), 128 + SIGPIPE);
}

/* What is sent while nobody reads stdout: the socket's own buffers, one pipe and one record, and no more. */
static void back_pressure(void **state)
{
	static uint8_t block[RECORD_HEAD + RECORD_MAX] = { RECORD_STDOUT, 1, 0, 0 };
	struct world w;
	size_t sent = 0, at = 0, got = 0;
	char text[65536];
	ssize_t n;

	begin(&w, false);
	say_started(&w);
	for (;;) {
		struct pollfd p = { .fd = w.vm, .events = POLLOUT };

		if (poll(&p, 1, 300) == 0)
			break;
		n = send(w.vm, block + at, sizeof(block) - at, MSG_DONTWAIT | MSG_NOSIGNAL);
		assert_true(n > 0 || errno == EAGAIN);
		sent += n > 0 ? (size_t)n : 0;
		at = (at + (n > 0 ? (size_t)n : 0)) % sizeof(block);
		assert_true(sent < 4 << 20);
	}
	/* A signal gets through meanwhile. */
	assert_int_equal(next(&w, NULL, 0), RECORD_STDIN_EOF);
	assert_int_equal(kill(w.pid, SIGTERM), 0);
	assert_int_equal(next(&w, text, sizeof(text)), RECORD_SIGNAL);
	/* Once it is read, all of it arrives. */
	while (at != 0 || got < sent / sizeof(block) * RECORD_MAX) {
		struct pollfd p[2] = { { .fd = at ? w.vm : -1, .events = POLLOUT }, { .fd = w.out, .events = POLLIN } };

		assert_true(poll(p, 2, WAIT_MS) > 0);
		if (p[0].revents) {
			n = send(w.vm, block + at, sizeof(block) - at, MSG_DONTWAIT | MSG_NOSIGNAL);
			sent += n > 0 ? (size_t)n : 0;
			at = (at + (n > 0 ? (size_t)n : 0)) % sizeof(block);
		}
		if (p[1].revents) {
			n = read(w.out, text, sizeof(text));
			assert_true(n > 0);
			got += (size_t)n;
		}
	}
	say_exit(&w, 0, 0);
	assert_int_equal(end(&w), 0);
}

/* stdin that the supervisor does not take is not read: the writer of it waits. */
static void input_waits(void **state)
{
	static uint8_t block[65536];
	struct world w;
	size_t sent = 0;
	struct pollfd p;

	begin(&w, true);
	say_started(&w);
	assert_int_equal(io_set_nonblock(w.in, true), 0);
	for (p = (struct pollfd){ .fd = w.in, .events = POLLOUT }; poll(&p, 1, 300) > 0;) {
		ssize_t n = write(w.in, block, sizeof(block));

		sent += n > 0 ? (size_t)n : 0;
		assert_true(sent < 4 << 20);
	}
	say_exit(&w, 0, 3);
	assert_int_equal(end(&w), 3);
}

/* ---- with a terminal ---- */

static bool is_raw(const struct world *w)
{
	struct termios t;

	assert_int_equal(tcgetattr(w->terminal, &t), 0);
	return !(t.c_lflag & (ICANON | ECHO | ISIG));
}

static void begin_terminal(struct world *w)
{
	char text[10];

	*w = (struct world){ 0 };
	launch_terminal(w);
	accept_session(w);
	assert_non_null(strstr(w->start, "\"rows\":30"));
	assert_non_null(strstr(w->start, "\"cols\":100"));
	assert_false(is_raw(w)); /* until the program runs, ctrl-C is for us */
	say_started(w);
	assert_int_equal(next(w, text, sizeof(text)), RECORD_RESIZE);
	assert_memory_equal(text, "\0\36\0\144", 4);
	assert_true(is_raw(w));
}

/* Reads what the client prints until it closes the terminal, which keeps its settings for us to look at. */
static void drain_terminal(struct world *w, char *dst, size_t size)
{
	size_t n = 0;
	ssize_t got;

	while (n + 1 < size && (got = read(w->terminal, dst + n, size - 1 - n)) > 0)
		n += (size_t)got;
	dst[n] = 0;
}

static void terminal(void **state)
{
	struct winsize ws = { .ws_row = 50, .ws_col = 258 };
	struct world w;
	char text[1000];

	begin_terminal(&w);
	assert_int_equal(ioctl(w.terminal, TIOCSWINSZ, &ws), 0);
	assert_int_equal(next(&w, text, sizeof(text)), RECORD_RESIZE);
	assert_memory_equal(text, "\0\62\1\2", 4);
	assert_int_equal(write(w.terminal, "\3", 1), 1); /* ctrl-C is a byte */
	assert_int_equal(next(&w, text, sizeof(text)), RECORD_STDIN);
	assert_string_equal(text, "\3");
	say(&w, RECORD_STDOUT, "a\nb", 3);
	say_exit(&w, 0, 5);
	drain_terminal(&w, text, sizeof(text));
	assert_string_equal(text, "a\nb");
	assert_false(is_raw(&w));
	assert_int_equal(end(&w), 5);
}

static void terminal_given_back(int how)
{
	struct world w;
	char text[1000];

	begin_terminal(&w);
	if (how > 0)
		assert_int_equal(kill(w.pid, how), 0);
	else
		(void)shutdown(w.vm, SHUT_RDWR); /* the supervisor died */
	drain_terminal(&w, text, sizeof(text));
	assert_false(is_raw(&w));
	assert_non_null(strstr(text, "\033[?25h"));
	if (how <= 0)
		assert_non_null(strstr(text, "error: sandbox 'box' ended before the program did"));
	assert_int_equal(end(&w), how > 0 ? 128 + how : OWN_ERROR);
}

static void terminal_after_signals(void **state)
{
	terminal_given_back(SIGTERM);
	terminal_given_back(SIGHUP);
	terminal_given_back(SIGINT);
}

static void terminal_after_a_crash(void **state)
{
	struct world w;
	int status;
	char text[1000];

	terminal_given_back(0);
	/* A crash of our own. */
	begin_terminal(&w);
	assert_int_equal(kill(w.pid, SIGSEGV), 0);
	drain_terminal(&w, text, sizeof(text));
	assert_false(is_raw(&w));
	assert_int_equal(waitpid(w.pid, &status, 0), w.pid);
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
	(void)close(w.vm);
	(void)close(w.terminal);
	buf_done(&w.received);
}

static void terminal_suspended(void **state)
{
	struct world w;
	char text[1000];
	int status;

	begin_terminal(&w);
	assert_int_equal(kill(w.pid, SIGTSTP), 0);
	assert_int_equal(waitpid(w.pid, &status, WUNTRACED), w.pid);
	assert_true(WIFSTOPPED(status));
	assert_false(is_raw(&w));
	assert_int_equal(kill(w.pid, SIGCONT), 0);
	assert_int_equal(next(&w, text, sizeof(text)), RECORD_RESIZE);
	assert_true(is_raw(&w));
	say_exit(&w, 0, 0);
	drain_terminal(&w, text, sizeof(text));
	assert_int_equal(end(&w), 0);
}

static int setup(void **state)
{
	int fd;

	unit_tmpdir_make(dir, sizeof(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	listener = io_unix_listen(fd, "vm.sock", 8);
	(void)close(fd);
	return listener < 0;
}

static int teardown(void **state)
{
	(void)close(listener);
	unit_tmpdir_remove(dir);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exit_code),
		cmocka_unit_test(killed),
		cmocka_unit_test(input_and_its_end),
		cmocka_unit_test(signals),
		cmocka_unit_test(impatience),
		cmocka_unit_test(failed),
		cmocka_unit_test(refused),
		cmocka_unit_test(broken),
		cmocka_unit_test(reader_goes_away),
		cmocka_unit_test(back_pressure),
		cmocka_unit_test(input_waits),
		cmocka_unit_test(terminal),
		cmocka_unit_test(terminal_after_signals),
		cmocka_unit_test(terminal_after_a_crash),
		cmocka_unit_test(terminal_suspended),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
