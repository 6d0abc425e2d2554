/* SPDX-License-Identifier: Apache-2.0
 *
 * pump and outq: bytes both ways over a socket pair, and what happens when one side does not read.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/outq.h"
#include "base/pump.h"

struct fixture {
	uv_loop_t loop;
	struct pump pump;
	struct outq out;
	int peer;
	size_t got, freed;
	int ends, end_error, closes, refuse;
};

static int on_bytes(struct pump *p, const uint8_t *bytes, size_t n)
{
	struct fixture *f = p->user;

	f->got += n;
	return f->refuse;
}

static long on_pull(struct pump *p, const uint8_t **ret)
{
	struct fixture *f = p->user;
	size_t freed;
	long n = outq_pull(&f->out, ret, &freed);

	f->freed += freed;
	return n;
}

static void on_end(struct pump *p, int error)
{
	struct fixture *f = p->user;

	f->ends++;
	f->end_error = error;
}

static void on_closed(struct pump *p)
{
	((struct fixture *)p->user)->closes++;
}

static const struct pump_ops ops = { on_bytes, on_pull, on_end, on_closed };

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fds[2];

	assert_int_equal(io_socketpair(fds), 0);
	assert_int_equal(uv_loop_init(&f->loop), 0);
	outq_init(&f->out, 1U << 20);
	f->peer = fds[1];
	assert_int_equal(pump_start(&f->pump, &f->loop, fds[0], &ops, f), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	pump_stop(&f->pump);
	(void)uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(f->closes, 1);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	outq_done(&f->out);
	if (f->peer >= 0)
		(void)close(f->peer);
	free(f);
	return 0;
}

static void turn(struct fixture *f)
{
	for (int i = 0; i < 8; i++)
		(void)uv_run(&f->loop, UV_RUN_NOWAIT);
}

static void bytes_go_both_ways(void **state)
{
	struct fixture *f = *state;
	char text[16] = "";

	assert_int_equal(io_write_all(f->peer, "abc", 3), 0);
	assert_int_equal(outq_append(&f->out, "hello", 5), 0);
	pump_kick(&f->pump);
	turn(f);
	assert_int_equal(f->got, 3);
	assert_int_equal(read(f->peer, text, sizeof(text)), 5);
	assert_string_equal(text, "hello");
	assert_int_equal(f->freed, 5);
}

/* Appending while earlier bytes are still on their way must not move them. */
static void what_was_pulled_stays(void **state)
{
	struct fixture *f = *state;
	static uint8_t block[100000], seen[1U << 20];
	size_t sent = 0, n = 0;

	for (int i = 0; i < 9; i++) {
		memset(block, 'a' + i, sizeof(block));
		assert_int_equal(outq_append(&f->out, block, sizeof(block)), 0);
		sent += sizeof(block);
		pump_kick(&f->pump);
		(void)uv_run(&f->loop, UV_RUN_NOWAIT);
	}
	assert_int_equal(io_set_nonblock(f->peer, true), 0);
	for (int i = 0; i < 1000 && n < sent; i++) {
		ssize_t r = read(f->peer, seen + n, sizeof(seen) - n);

		n += r > 0 ? (size_t)r : 0;
		turn(f);
	}
	assert_int_equal(n, sent);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(seen[i], 'a' + i / sizeof(block));
}

static void a_full_queue_says_so(void **state)
{
	struct fixture *f = *state;
	static uint8_t block[1U << 20];

	assert_int_equal(outq_append(&f->out, block, sizeof(block)), 0);
	assert_int_equal(outq_append(&f->out, block, 1), -EMSGSIZE);
}

static void it_stops_reading_when_told(void **state)
{
	struct fixture *f = *state;

	turn(f);
	pump_set_reading(&f->pump, false);
	assert_int_equal(io_write_all(f->peer, "abc", 3), 0);
	turn(f);
	assert_int_equal(f->got, 0);
	pump_set_reading(&f->pump, true);
	turn(f);
	assert_int_equal(f->got, 3);
}

static void the_end_is_told_once(void **state)
{
	struct fixture *f = *state;

	(void)close(f->peer);
	f->peer = -1;
	turn(f);
	assert_int_equal(f->ends, 1);
	assert_int_equal(f->end_error, 0);
	pump_kick(&f->pump);
	turn(f);
	assert_int_equal(f->ends, 1);
}

/* A write to it fails, which must not hide what it said. */
static void last_words_of_a_peer_that_is_gone(void **state)
{
	struct fixture *f = *state;

	turn(f);
	assert_int_equal(io_write_all(f->peer, "bye", 3), 0);
	(void)close(f->peer);
	f->peer = -1;
	assert_int_equal(outq_append(&f->out, "hello", 5), 0);
	pump_kick(&f->pump);
	turn(f);
	assert_int_equal(f->got, 3);
	assert_int_equal(f->ends, 1);
}

static void the_owner_can_refuse(void **state)
{
	struct fixture *f = *state;

	f->refuse = -EPROTO;
	assert_int_equal(io_write_all(f->peer, "x", 1), 0);
	turn(f);
	assert_int_equal(f->ends, 1);
	assert_int_equal(f->end_error, -EPROTO);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(bytes_go_both_ways),         CASE(what_was_pulled_stays), CASE(a_full_queue_says_so),
		CASE(it_stops_reading_when_told), CASE(the_end_is_told_once),  CASE(the_owner_can_refuse),
		CASE(last_words_of_a_peer_that_is_gone),
	};

	(void)signal(SIGPIPE, SIG_IGN); /* as every program does that has a pump */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
