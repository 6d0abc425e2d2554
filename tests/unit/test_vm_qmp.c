/* SPDX-License-Identifier: Apache-2.0
 *
 * qmp: the test plays QEMU on the other end of a socket pair.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "vm/qmp.h"

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n"

struct fixture {
	uv_loop_t loop;
	struct qmp *q;
	int qemu; /* our end */
	int events, ends, results, errors;
	char last_event[64], last_error[128];
};

static void on_event(void *user, const char *name, const json_t *data)
{
	struct fixture *f = user;

	f->events++;
	(void)snprintf(f->last_event, sizeof(f->last_event), "%s", name);
}

static void on_end(void *user)
{
	((struct fixture *)user)->ends++;
}

static const struct qmp_ops ops = { on_event, on_end };

static void on_done(void *user, const json_t *result, const char *error)
{
	struct fixture *f = user;

	if (error) {
		f->errors++;
		(void)snprintf(f->last_error, sizeof(f->last_error), "%s", error);
	} else {
		f->results++;
	}
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fds[2];

	assert_int_equal(io_socketpair(fds), 0);
	assert_int_equal(uv_loop_init(&f->loop), 0);
	f->qemu = fds[1];
	f->q = qmp_new(&f->loop, fds[0], &ops, f);
	*state = f;
	return f->q ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	qmp_free(f->q);
	(void)uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	if (f->qemu >= 0)
		(void)close(f->qemu);
	free(f);
	return 0;
}

static void turn(struct fixture *f)
{
	for (int i = 0; i < 4; i++)
		(void)uv_run(&f->loop, UV_RUN_NOWAIT);
}

static void say(struct fixture *f, const char *text)
{
	assert_int_equal(io_write_all(f->qemu, text, strlen(text)), 0);
	turn(f);
}

/* What the client has sent so far. */
static const char *heard(struct fixture *f)
{
	static char text[8192];
	ssize_t n;

	assert_int_equal(io_set_nonblock(f->qemu, true), 0);
	n = read(f->qemu, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = 0;
	return text;
}

static void calls_wait_for_the_greeting(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(qmp_call(f->q, "query-status", NULL, on_done, f), 0);
	turn(f);
	assert_string_equal(heard(f), "");
	say(f, GREETING);
	assert_string_equal(heard(f), "{\"execute\":\"qmp_capabilities\",\"id\":-1}\n{\"execute\":\"query-status\",\"id\":1}\n");
	say(f, "{\"return\": {}, \"id\": -1}\n{\"return\": {}, \"id\": 1}\n");
	assert_int_equal(f->results, 1);
}

static void answers_are_paired_by_number(void **state)
{
	struct fixture *f = *state;

	say(f, GREETING);
	assert_int_equal(qmp_call(f->q, "a", json_pack("{s:i}", "x", 1), on_done, f), 0);
	assert_int_equal(qmp_call(f->q, "b", NULL, on_done, f), 0);
	turn(f);
	say(f, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such node\"}, \"id\": 2}\n");
	assert_int_equal(f->errors, 1);
	assert_string_equal(f->last_error, "no such node");
	say(f, "{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true}}\n{\"return\": {}, \"id\": 1}\n");
	assert_int_equal(f->results, 1);
	assert_int_equal(f->events, 1);
	assert_string_equal(f->last_event, "SHUTDOWN");
	say(f, "{\"return\": {}, \"id\": 77}\n"); /* nobody asked: no harm */
	assert_int_equal(f->results, 1);
}

static void the_end_fails_what_is_pending(void **state)
{
	struct fixture *f = *state;

	say(f, GREETING);
	assert_int_equal(qmp_call(f->q, "quit", NULL, on_done, f), 0);
	turn(f);
	(void)close(f->qemu);
	f->qemu = -1;
	turn(f);
	assert_int_equal(f->errors, 1);
	assert_int_equal(f->ends, 1);
	assert_true(qmp_call(f->q, "quit", NULL, on_done, f) < 0);
	assert_int_equal(f->errors, 1);
}

static void what_is_not_json_ends_it(void **state)
{
	struct fixture *f = *state;

	say(f, GREETING "{]\n");
	assert_int_equal(f->ends, 1);
}

static void a_line_has_a_maximum(void **state)
{
	struct fixture *f = *state;
	static char blank[65536];

	memset(blank, ' ', sizeof(blank));
	for (int i = 0; i < 40 && !f->ends; i++) {
		if (write(f->qemu, blank, sizeof(blank)) < 0)
			break;
		turn(f);
	}
	assert_int_equal(f->ends, 1);
}

static void calls_have_a_bound(void **state)
{
	struct fixture *f = *state;
	int taken = 0;

	while (taken < 10000 && qmp_call(f->q, "x", NULL, on_done, f) == 0)
		taken++;
	assert_true(taken > 16 && taken < 1000);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(calls_wait_for_the_greeting), CASE(answers_are_paired_by_number), CASE(the_end_fails_what_is_pending),
		CASE(what_is_not_json_ends_it),    CASE(a_line_has_a_maximum),         CASE(calls_have_a_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
