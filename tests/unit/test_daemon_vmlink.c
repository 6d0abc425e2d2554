/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls to a supervisor: answers whole and in pieces, its refusals, its end, its silence, and words that are none.
 */
#include "daemon/vmlink.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own.h"
#include "base/str.h"
#include "unit.h"
#include "wire/record.h"

static char dir[128];
static int dirfd_vm, listener;
static uv_loop_t loop;

static int setup(void **state)
{
	unit_tmpdir_make(dir, sizeof(dir));
	dirfd_vm = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	listener = io_unix_listen(dirfd_vm, "x.sock", 1);
	assert_true(listener >= 0);
	return uv_loop_init(&loop);
}

static int teardown(void **state)
{
	while (uv_run(&loop, UV_RUN_DEFAULT))
		;
	assert_int_equal(uv_loop_close(&loop), 0);
	own_close_p(&listener);
	own_close_p(&dirfd_vm);
	unit_tmpdir_remove(dir);
	return 0;
}

static void turn(void)
{
	for (int i = 0; i < 10; i++)
		(void)uv_run(&loop, UV_RUN_NOWAIT);
}

struct answer {
	int calls;
	struct err err;
	char state[32];
};

static void on_done(void *user, json_t *reply, const struct err *err)
{
	struct answer *a = user;
	const char *s = json_string_value(json_object_get(reply, "state"));

	a->calls++;
	if (err)
		a->err = *err;
	(void)snprintf(a->state, sizeof(a->state), "%s", s ? s : "");
}

static struct vmlink_call call_to(const char *id, uint64_t timeout_ms)
{
	return (struct vmlink_call){ .loop = &loop,
				     .vm_dirfd = dirfd_vm,
				     .id = id,
				     .timeout_ms = timeout_ms,
				     .request = json_pack("{s:s}", "op", "status") };
}

/* Asks; the connected supervisor's side, which has read the request. */
static int ask(struct answer *a, uint64_t timeout_ms)
{
	struct vmlink_call call = call_to("x", timeout_ms);
	uint8_t bytes[256];
	struct record rec;
	ssize_t n;
	int fd;

	assert_int_equal(vmlink_ask(&call, on_done, a, NULL), 0);
	assert_int_equal(a->calls, 0);
	fd = accept(listener, NULL, NULL);
	turn();
	n = read(fd, bytes, sizeof(bytes));
	assert_int_equal(record_decode(bytes, (size_t)n, &rec), n);
	assert_int_equal(rec.type, RECORD_REQUEST);
	assert_memory_equal(rec.data, "{\"op\":\"status\"}", rec.len);
	return fd;
}

static void say(int fd, enum record_type type, const char *text, size_t step)
{
	struct buf b;

	buf_init(&b, RECORD_HEAD + RECORD_MAX);
	assert_int_equal(record_encode(&b, type, text, strlen(text)), 0);
	while (buf_len(&b) > 0) {
		size_t n = buf_len(&b) < step ? buf_len(&b) : step;

		(void)send(fd, buf_bytes(&b), n, MSG_NOSIGNAL);
		buf_consume(&b, n);
		turn();
	}
	buf_done(&b);
}

static void an_answer(void **state)
{
	for (size_t step = 1; step < 40; step += 13) {
		struct answer a = { 0 };
		auto_fd int fd = ask(&a, 0);

		say(fd, RECORD_REPLY, "{\"state\":\"running\",\"error\":{\"kind\":\"internal\",\"message\":\"files\"}}",
		    step);
		assert_int_equal(a.calls, 1);
		assert_string_equal(a.state, "running");
		assert_int_equal(a.err.kind, ERR_NONE);
		/* Nothing after it counts. */
		say(fd, RECORD_REPLY, "{\"state\":\"x\"}", 100);
		assert_int_equal(a.calls, 1);
	}
}

static void a_refusal(void **state)
{
	struct answer a = { 0 };
	auto_fd int fd = ask(&a, 0);

	say(fd, RECORD_REPLY, "{\"error\":{\"kind\":\"conflict\",\"message\":\"no\\nway\"}}", 100);
	assert_int_equal(a.calls, 1);
	assert_int_equal(a.err.kind, ERR_CONFLICT);
	assert_string_equal(a.err.msg, "no\\x0away");
}

static void an_end(void **state)
{
	struct answer a = { 0 };
	int fd = ask(&a, 0);

	(void)close(fd);
	turn();
	assert_int_equal(a.calls, 1);
	assert_int_equal(a.err.kind, ERR_UNAVAILABLE);
}

static void silence(void **state)
{
	struct answer a = { 0 };
	auto_fd int fd = ask(&a, 30);

	assert_true(fd >= 0);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(a.calls, 1);
	assert_int_equal(a.err.kind, ERR_TIMEOUT);
}

static void words_that_are_none(void **state)
{
	static const struct {
		enum record_type type;
		const char *text;
	} cases[] = { { RECORD_STDOUT, "x" },
		      { RECORD_REPLY, "[]" },
		      { RECORD_REPLY, "{" },
		      { RECORD_EVENT, "{\"a\":1,\"a\":2}" } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct answer a = { 0 };
		auto_fd int fd = ask(&a, 0);

		say(fd, cases[i].type, cases[i].text, 100);
		assert_int_equal(a.calls, 1);
		assert_int_equal(a.err.kind, ERR_UNAVAILABLE);
	}
}

static void nobody_there(void **state)
{
	struct answer a = { 0 };
	struct err err = { 0 };
	struct vmlink_call call = call_to("none", 0);

	assert_int_equal(vmlink_ask(&call, on_done, &a, &err), -ENOENT);
	own_close_p(&listener);
	call = call_to("x", 0);
	assert_int_equal(vmlink_ask(&call, on_done, &a, &err), -ECONNREFUSED);
	call = (struct vmlink_call){ .loop = &loop, .vm_dirfd = dirfd_vm, .id = "x" };
	assert_int_equal(vmlink_ask(&call, on_done, &a, &err), -ENOMEM);
	assert_int_equal(a.calls, 0);
}

static void on_message(void *user, json_t *body)
{
}

static void on_end(void *user, int error)
{
	fail();
}

/* A supervisor that hangs: its backlog fills, and we are told rather than held. */
static void a_full_backlog(void **state)
{
	static const struct vmlink_ops ops = { .message = on_message, .end = on_end };
	struct vmlink *links[16] = { 0 };
	struct err err = { 0 };
	size_t n = 0;

	for (; n < ARRAY_LEN(links); n++) {
		struct vmlink_call call = call_to("x", 0);

		links[n] = vmlink_open(&call, &ops, NULL, &err);
		if (!links[n])
			break;
	}
	assert_true(n > 0 && n < ARRAY_LEN(links));
	assert_int_equal(err.errnum, EAGAIN);
	/* Closed by the owner: no callback. */
	while (n > 0)
		vmlink_close(links[--n]);
	turn();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(a_refusal, setup, teardown),
		cmocka_unit_test_setup_teardown(an_end, setup, teardown),
		cmocka_unit_test_setup_teardown(silence, setup, teardown),
		cmocka_unit_test_setup_teardown(words_that_are_none, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_there, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_backlog, setup, teardown),
	};

	return cmocka_run_group_tests_name("daemon_vmlink", tests, NULL, NULL);
}
