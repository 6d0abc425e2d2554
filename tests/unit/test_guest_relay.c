/* SPDX-License-Identifier: Apache-2.0
 *
 * relay: between a pair of packet sockets, in the place of /dev/fuse, and a pair of stream sockets, in the place of the
 * port. There is one relay in a process, so that the tests go on from each other. That the host's end goes away and another
 * one comes is the port's descriptor getting another socket.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "guest/relay.h"
#include "wire/fuse_guard.h"

#define WAIT_MS 20000

static int kernel = -1, port = -1, host = -1;

static void arrives(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
}

static bool silent(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 100) == 0;
}

static void ask(uint32_t opcode, uint64_t unique)
{
	const struct fuse_in_header head = { .len = sizeof(head), .opcode = opcode, .unique = unique };

	assert_int_equal(send(kernel, &head, sizeof(head), 0), sizeof(head));
}

/* The next message at the host. */
static struct fuse_in_header asked(void)
{
	struct fuse_in_header head;

	arrives(host);
	assert_int_equal(recv(host, &head, sizeof(head), MSG_WAITALL), sizeof(head));
	return head;
}

static void answer(uint64_t unique)
{
	const struct fuse_out_header head = { .len = sizeof(head), .unique = unique };

	assert_int_equal(send(host, &head, sizeof(head), 0), sizeof(head));
}

/* The next answer at the kernel. */
static uint64_t answered(void)
{
	struct fuse_out_header head;

	arrives(kernel);
	assert_int_equal(recv(kernel, &head, sizeof(head), 0), sizeof(head));
	return head.unique;
}

static void *quiesce(void *arg)
{
	*(int *)arg = relay_quiesce(io_now_ms() + WAIT_MS);
	return NULL;
}

static int start(void **state)
{
	int a[2], b[2];
	struct err err;

	assert_int_equal(relay_quiesce(0), 0); /* without a file door */
	relay_resume();
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, a), 0);
	assert_int_equal(io_socketpair(b), 0);
	assert_int_equal(io_set_nonblock(b[0], true), 0);
	kernel = a[1];
	port = b[0];
	host = b[1];
	assert_int_equal(relay_start(a[0], port, "/nonexistent", &err), 0);
	return 0;
}

static void test_both_ways(void **state)
{
	ask(FUSE_GETATTR, 2);
	assert_int_equal(asked().unique, 2);
	answer(2);
	assert_int_equal(answered(), 2);
}

static void test_hold(void **state)
{
	struct fuse_in_header h;
	pthread_t t;
	int r = 1;

	ask(FUSE_GETATTR, 4);
	assert_int_equal(asked().unique, 4);
	assert_int_equal(pthread_create(&t, NULL, quiesce, &r), 0);
	h = asked();
	assert_int_equal(h.opcode, FUSE_GUARD_HOLD);
	assert_int_equal(h.len, sizeof(h));
	/* Everything before its answer reaches the kernel; it itself does not. */
	answer(4);
	answer(h.unique);
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_int_equal(r, 0);
	assert_int_equal(answered(), 4);
	ask(FUSE_GETATTR, 6);
	assert_true(silent(host));
	assert_true(silent(kernel));
	/* A lock that the host gives up on its own reaches the kernel at any time. */
	answer(8);
	assert_int_equal(answered(), 8);
	relay_resume();
	assert_int_equal(asked().opcode, FUSE_GUARD_GO);
	assert_int_equal(asked().unique, 6);
	answer(6);
	assert_int_equal(answered(), 6);
}

static void test_not_in_time(void **state)
{
	struct fuse_in_header h;
	pthread_t t;
	int r = 1;

	assert_int_equal(relay_quiesce(io_now_ms() + 1000), -ETIMEDOUT);
	ask(FUSE_GETATTR, 10);
	h = asked();
	assert_int_equal(h.opcode, FUSE_GUARD_HOLD);
	assert_int_equal(asked().opcode, FUSE_GUARD_GO);
	assert_int_equal(asked().unique, 10);
	/* That it is held, said too late, holds nothing. */
	answer(h.unique);
	answer(10);
	assert_int_equal(answered(), 10);
	assert_int_equal(pthread_create(&t, NULL, quiesce, &r), 0);
	answer(h.unique);
	h = asked();
	assert_int_equal(h.opcode, FUSE_GUARD_HOLD);
	answer(h.unique);
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_int_equal(r, 0);
	/* Held and held once more. */
	assert_int_equal(pthread_create(&t, NULL, quiesce, &r), 0);
	h = asked();
	assert_int_equal(h.opcode, FUSE_GUARD_HOLD);
	answer(h.unique);
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_int_equal(r, 0);
	relay_resume();
	assert_int_equal(asked().opcode, FUSE_GUARD_GO);
}

static void test_another_host(void **state)
{
	struct fuse_in_header h;
	pthread_t t;
	int r = 1, b[2];

	assert_int_equal(pthread_create(&t, NULL, quiesce, &r), 0);
	h = asked();
	answer(h.unique);
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_int_equal(r, 0);
	own_close_p(&host);
	ask(FUSE_GETATTR, 12);
	relay_resume();
	assert_true(silent(kernel));
	assert_int_equal(io_socketpair(b), 0);
	assert_int_equal(io_set_nonblock(b[0], true), 0);
	assert_int_equal(dup2(b[0], port), port);
	own_close_p(&b[0]);
	host = b[1];
	assert_int_equal(asked().opcode, FUSE_GUARD_GO);
	assert_int_equal(asked().unique, 12);
	answer(12);
	assert_int_equal(answered(), 12);
}

static void test_gone_for_good(void **state)
{
	own_close_p(&host);
	/* What has failed cannot be held. */
	while (relay_quiesce(io_now_ms() + 10) != -EPIPE)
		relay_resume();
	assert_int_equal(relay_quiesce(io_now_ms() + WAIT_MS), -EPIPE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_hold),
		cmocka_unit_test(test_not_in_time),
		cmocka_unit_test(test_another_host),
		cmocka_unit_test(test_gone_for_good),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
