/* SPDX-License-Identifier: Apache-2.0
 *
 * The API's socket with a daemon that knows no sandbox: answers in order, refusals, the bound on connections, clients
 * that leave, and an orderly end.
 */
#include "daemon/server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own.h"
#include "base/str.h"
#include "daemon/rules.h"
#include "unit.h"

#define HOST "Host: localhost\r\n"

static char dir[128];
static struct daemon d;

static int setup(void **state)
{
	char db[200];
	struct err err;

	unit_tmpdir_make(dir, sizeof(dir));
	d = (struct daemon){ 0 };
	(void)snprintf(d.dirs.state, sizeof(d.dirs.state), "%s/state", dir);
	(void)snprintf(d.dirs.cache, sizeof(d.dirs.cache), "%s/cache", dir);
	(void)snprintf(d.dirs.config, sizeof(d.dirs.config), "%s/config", dir);
	(void)snprintf(d.dirs.runtime, sizeof(d.dirs.runtime), "%s", dir);
	d.vm_fd = -1;
	d.runtime_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(uv_loop_init(&d.loop), 0);
	assert_int_equal(uv_timer_init(&d.loop, &d.deadline), 0);
	d.deadline.data = &d;
	(void)snprintf(db, sizeof(db), "%s/sbx.db", dir);
	if (store_open(db, &d.store, &err) < 0 || rules_open(&d, &err) < 0 || server_start(&d, &err) < 0)
		fail_msg("%s", err.msg);
	return 0;
}

static int teardown(void **state)
{
	server_stop(&d);
	if (!uv_is_closing((uv_handle_t *)&d.deadline))
		uv_close((uv_handle_t *)&d.deadline, NULL);
	while (uv_run(&d.loop, UV_RUN_DEFAULT))
		;
	assert_int_equal(uv_loop_close(&d.loop), 0);
	server_free(&d);
	rules_free(d.rules);
	store_free(d.store);
	own_close_p(&d.runtime_fd);
	unit_tmpdir_remove(dir);
	return 0;
}

static int dial(void)
{
	int fd = io_unix_connect(d.runtime_fd, "sandboxd.sock");

	assert_true(fd >= 0);
	assert_int_equal(io_set_nonblock(fd, true), 0);
	return fd;
}

static void turn(void)
{
	for (int i = 0; i < 20; i++)
		(void)uv_run(&d.loop, UV_RUN_NOWAIT);
}

/* Everything that comes for `text`; *ret_closed: the server ended the connection. */
static void talk(int fd, const char *text, size_t n, char *dst, size_t size, bool *ret_closed)
{
	size_t at = 0;
	ssize_t r;

	for (size_t sent = 0; sent < n;) {
		r = send(fd, text + sent, n - sent, MSG_NOSIGNAL);
		if (r > 0)
			sent += (size_t)r;
		else
			assert_true(r < 0 && (errno == EAGAIN || errno == EPIPE));
		if (r < 0 && errno == EPIPE)
			break;
		turn();
	}
	turn();
	while ((r = read(fd, dst + at, size - 1 - at)) > 0) {
		at += (size_t)r;
		turn();
	}
	dst[at] = 0;
	*ret_closed = r == 0 || errno == ECONNRESET;
}

static void expect(const char *text, const char *word, bool closed)
{
	static char answer[65536];
	auto_fd int fd = dial();
	bool is_closed;

	talk(fd, text, strlen(text), answer, sizeof(answer), &is_closed);
	if (!strstr(answer, word))
		fail_msg("%s: %s", text, answer);
	assert_int_equal(is_closed, closed);
}

static void answers(void **state)
{
	expect("GET /v1/version HTTP/1.1\r\n" HOST "\r\n", "\"api\":1", false);
	expect("GET /v1/version HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", "Connection: close", true);
	expect("GET /v1/sandboxes HTTP/1.1\r\n" HOST "\r\n", "{\"sandboxes\":[]}", false);
	expect("GET /v1/sandboxes/a%2Fb HTTP/1.1\r\n" HOST "\r\n", "sandbox 'a/b' not found", false);
	expect("GET /v1/templates HTTP/1.1\r\n" HOST "\r\n", "{\"templates\":[]}", false);
	expect("GET /v1/settings HTTP/1.1\r\n" HOST "\r\n", "sandbox.stopGrace", false);
	expect("GET /v1/diagnose HTTP/1.1\r\n" HOST "\r\n", "\"directories\"", false);
	/* The second may come before the first was answered, and in pieces. */
	expect("GET /v1/version HTTP/1.1\r\n" HOST "\r\nGET /v1/settings HTTP/1.1\r\n" HOST "\r\n", "sandbox.disk",
	       false);
	expect("POST /v1/sandboxes HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
	       "100 Continue", false);
}

static void refusals(void **state)
{
	/* HTTP that cannot be trusted ends the connection; a wrong request does not. */
	expect("GARBAGE\r\n\r\n", "400 Bad Request", true);
	expect("GET / HTTP/1.1\r\n\r\n", "no Host", true);
	expect("POST /v1/sandboxes HTTP/1.1\r\n" HOST "Content-Length: 1048577\r\n\r\n", "too large", true);
	expect("GET /v1/nothing HTTP/1.1\r\n" HOST "\r\n", "404 Not Found", false);
	expect("PUT /v1/sandboxes HTTP/1.1\r\n" HOST "\r\n", "no operation PUT", false);
	expect("GET /v1/sandboxes/ HTTP/1.1\r\n" HOST "\r\n", "no operation", false);
	expect("GET /v1/sandboxes/%zz HTTP/1.1\r\n" HOST "\r\n", "badly encoded", false);
	expect("GET /v1/sandboxes?force=true HTTP/1.1\r\n" HOST "\r\n", "only DELETE takes a query", false);
	expect("DELETE /v1/sandboxes/x?f=1 HTTP/1.1\r\n" HOST "\r\n", "unknown query", false);
	expect("DELETE /v1/sandboxes/x?force=true HTTP/1.1\r\n" HOST "\r\n", "'x' not found", false);
	expect("GET /v1/version HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}", "takes no body", false);
	expect("POST /v1/sandboxes HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n[]", "must be a JSON object", false);
	expect("POST /v1/sandboxes HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\n{", "not JSON", false);
	expect("POST /v1/shutdown HTTP/1.1\r\n" HOST "Content-Length: 7\r\n\r\n{\"a\":1}", "unknown key", false);
}

static void the_bound_on_connections(void **state)
{
	static const char get[] = "GET /v1/version HTTP/1.1\r\n" HOST "\r\n";
	int fds[SERVER_CONNS_MAX];
	auto_fd int more = -1;
	char answer[4096];
	bool closed;

	for (size_t i = 0; i < SERVER_CONNS_MAX; i++) {
		fds[i] = dial();
		turn();
	}
	more = dial();
	talk(more, get, strlen(get), answer, sizeof(answer), &closed);
	assert_string_equal(answer, "");
	assert_false(closed);
	/* It waits, until one of the others goes. */
	own_close_p(&fds[7]);
	talk(more, "", 0, answer, sizeof(answer), &closed);
	assert_non_null(strstr(answer, "200 OK"));
	for (size_t i = 0; i < SERVER_CONNS_MAX; i++)
		own_close_p(&fds[i]);
}

static void clients_that_leave(void **state)
{
	static const char *const parts[] = { "", "G", "GET / HTTP/1.1\r\n",
					     "POST /v1/sandboxes HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n{",
					     "GET /v1/diagnose HTTP/1.1\r\n" HOST "\r\n" };

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		int fd = dial();

		turn();
		assert_int_equal(write(fd, parts[i], strlen(parts[i])), strlen(parts[i]));
		if (i % 2)
			turn();
		(void)close(fd);
		turn();
	}
	expect("GET /v1/version HTTP/1.1\r\n" HOST "\r\n", "200 OK", false);
}

static void an_orderly_end(void **state)
{
	static const char part[] = "GET /v1/version HTTP/1.1\r\n", rest[] = HOST "\r\n";
	auto_fd int idle = dial(), busy = dial();
	char answer[4096];
	bool closed;

	talk(busy, part, strlen(part), answer, sizeof(answer), &closed);
	daemon_shutdown(&d);
	talk(idle, "", 0, answer, sizeof(answer), &closed);
	assert_true(closed);
	assert_int_equal(io_unix_connect(d.runtime_fd, "sandboxd.sock"), -ENOENT);
	/* What was begun is finished. */
	talk(busy, rest, strlen(rest), answer, sizeof(answer), &closed);
	assert_non_null(strstr(answer, "200 OK"));
	assert_true(closed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answers, setup, teardown),
		cmocka_unit_test_setup_teardown(refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(the_bound_on_connections, setup, teardown),
		cmocka_unit_test_setup_teardown(clients_that_leave, setup, teardown),
		cmocka_unit_test_setup_teardown(an_orderly_end, setup, teardown),
	};

	(void)signal(SIGPIPE, SIG_IGN); /* as daemon_main does */
	return cmocka_run_group_tests_name("daemon_server", tests, NULL, NULL);
}
