/* SPDX-License-Identifier: Apache-2.0
 *
 * ports: published ports between a TCP client and a guest that is played here: an HTTP/2 server on the other end of the
 * door. Everything runs in one loop; the client's sockets do not block.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "base/pump.h"
#include "base/str.h"
#include "vm/ports.h"
#include "wire/h2.h"

#define DEADLINE_MS 20000
#define CONNECT_ERROR 10U /* RFC 9113 section 7 */

enum plays { ECHOES, REFUSES, HOLDS, COUNTS_AND_ANSWERS };

struct world {
	uv_loop_t loop;
	struct spec spec;
	struct ports *ports;
	struct door *door;
	/* The guest. */
	struct pump pump;
	struct h2 *h2;
	enum plays plays;
	size_t streams, most, bytes, ended;
	uint32_t error; /* how the last stream ended */
	char authority[32];
	bool over;
};

/* --- the guest --- */

static int on_request(void *user, struct h2_stream *s, const struct h2_head *head)
{
	struct world *w = user;

	assert_string_equal(head->method, "POST");
	assert_string_equal(head->path, "/port");
	assert_int_equal(str_format(w->authority, sizeof(w->authority), "%s", head->authority), 0);
	w->streams++;
	if (w->streams > w->most)
		w->most = w->streams;
	if (w->plays == REFUSES)
		h2_reset(s, CONNECT_ERROR);
	else
		(void)h2_respond(s, 200);
	return 0;
}

static void on_data(void *user, struct h2_stream *s, const uint8_t *bytes, size_t n)
{
	struct world *w = user;

	w->bytes += n;
	if (w->plays == HOLDS)
		return;
	if (w->plays == ECHOES)
		assert_int_equal(h2_write(s, bytes, n), n);
	h2_consume(s, n);
}

static void on_eof(void *user, struct h2_stream *s)
{
	struct world *w = user;

	if (w->plays == COUNTS_AND_ANSWERS)
		assert_int_equal(h2_write(s, "done", 4), 4);
	h2_shutdown(s);
}

static void on_closed(void *user, struct h2_stream *s, uint32_t error)
{
	struct world *w = user;

	w->streams--;
	w->ended++;
	w->error = error;
}

static const struct h2_ops h2_ops = { .request = on_request, .data = on_data, .eof = on_eof, .closed = on_closed };

static int guest_bytes(struct pump *p, const uint8_t *bytes, size_t n)
{
	struct world *w = p->user;
	int r = h2_feed(w->h2, bytes, n);

	pump_kick(p);
	return r;
}

static long guest_pull(struct pump *p, const uint8_t **ret)
{
	return h2_pull(((struct world *)p->user)->h2, ret);
}

static void guest_end(struct pump *p, int error)
{
	((struct world *)p->user)->over = true;
}

static void guest_gone(struct pump *p)
{
}

static const struct pump_ops guest_ops = { .bytes = guest_bytes, .pull = guest_pull, .end = guest_end, .closed = guest_gone };

static void door_end(void *user, int error)
{
}

static const struct door_ops door_ops = { .end = door_end };

/* --- the world --- */

static void begin(struct world *w, enum plays plays)
{
	struct err err;
	int pair[2];

	memset(w, 0, sizeof(*w));
	w->plays = plays;
	w->spec.name = "box";
	w->spec.nports = 1;
	assert_int_equal(portmap_parse("3000", &w->spec.ports[0], &err), 0);
	assert_int_equal(uv_loop_init(&w->loop), 0);
	w->ports = ports_new(&w->loop, &w->spec, &err);
	assert_non_null(w->ports);
	assert_int_equal(io_socketpair(pair), 0);
	w->door = door_new(&w->loop, pair[0], &door_ops, w);
	assert_non_null(w->door);
	w->h2 = h2_new(H2_SERVER, &h2_ops, w);
	assert_int_equal(pump_start(&w->pump, &w->loop, pair[1], &guest_ops, w), 0);
	ports_open(w->ports, w->door);
}

static void finish(struct world *w)
{
	ports_free(w->ports);
	door_free(w->door);
	pump_stop(&w->pump);
	(void)uv_run(&w->loop, UV_RUN_DEFAULT);
	h2_free(w->h2);
	assert_int_equal(uv_loop_close(&w->loop), 0);
}

static uint16_t port_of(const struct world *w, size_t i)
{
	json_t *list = ports_describe(w->ports);
	json_int_t port = json_integer_value(json_object_get(json_array_get(list, i), "host_port"));

	json_decref(list);
	return (uint16_t)port;
}

static int dial_to(uint16_t port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		(void)close(fd);
		return -errno;
	}
	assert_int_equal(io_set_nonblock(fd, true), 0);
	return fd;
}

/* Turns the loop until the condition holds. */
#define UNTIL(w, condition)                                         \
	do {                                                        \
		uint64_t end_ = io_now_ms() + DEADLINE_MS;          \
		while (!(condition) && io_now_ms() < end_)          \
			(void)uv_run(&(w)->loop, UV_RUN_NOWAIT);    \
		assert_true(condition);                             \
	} while (0)

/* Reads until n bytes, the end (returns what came) or an error (negative). */
static ssize_t read_some(struct world *w, int fd, char *dst, size_t n)
{
	uint64_t end = io_now_ms() + DEADLINE_MS;
	size_t have = 0;

	while (have < n && io_now_ms() < end) {
		ssize_t got = read(fd, dst + have, n - have);

		if (got == 0)
			return (ssize_t)have;
		if (got < 0 && errno != EAGAIN)
			return -errno;
		if (got > 0)
			have += (size_t)got;
		(void)uv_run(&w->loop, UV_RUN_NOWAIT);
	}
	return have == n ? (ssize_t)have : -ETIMEDOUT;
}

/* --- the tests --- */

static void bytes_go_both_ways_and_each_way_has_its_end(void **state)
{
	struct world w;
	char got[8] = "";
	int fd;

	begin(&w, COUNTS_AND_ANSWERS);
	fd = dial_to(port_of(&w, 0));
	assert_int_equal(write(fd, "hello", 5), 5);
	UNTIL(&w, w.bytes == 5);
	assert_string_equal(w.authority, ":3000");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	/* The answer comes after our end, and then the guest's. */
	assert_int_equal(read_some(&w, fd, got, sizeof(got)), 4);
	assert_memory_equal(got, "done", 4);
	UNTIL(&w, w.ended == 1);
	assert_int_equal(w.error, 0);
	(void)close(fd);
	finish(&w);
}

static void nobody_listens_is_a_reset(void **state)
{
	struct world w;
	char got[8];
	int fd;

	begin(&w, REFUSES);
	fd = dial_to(port_of(&w, 0));
	assert_int_equal(read_some(&w, fd, got, sizeof(got)), -ECONNRESET);
	(void)close(fd);
	finish(&w);
}

static void a_client_that_goes_resets_the_stream(void **state)
{
	struct linger now = { .l_onoff = 1 };
	struct world w;
	int fd;

	begin(&w, ECHOES);
	fd = dial_to(port_of(&w, 0));
	assert_int_equal(write(fd, "x", 1), 1);
	UNTIL(&w, w.bytes == 1);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	(void)close(fd);
	UNTIL(&w, w.ended == 1);
	assert_int_equal(w.error, H2_CANCEL);
	finish(&w);
}

/* The guest takes nothing: the client is held up, and what we hold is bounded. */
static void a_guest_that_does_not_read_holds_the_client_up(void **state)
{
	static char chunk[65536];
	uint64_t quiet = io_now_ms();
	size_t sent = 0;
	struct world w;
	int fd;

	begin(&w, HOLDS);
	fd = dial_to(port_of(&w, 0));
	while (io_now_ms() - quiet < 300) {
		ssize_t n = write(fd, chunk, sizeof(chunk));

		if (n > 0) {
			sent += (size_t)n;
			quiet = io_now_ms();
		}
		assert_true(sent < 64 << 20);
		(void)uv_run(&w.loop, UV_RUN_NOWAIT);
	}
	/* One window reached the guest, and no more; the rest waits in the kernel and, up to a bound, here. */
	assert_int_equal(w.bytes, H2_STREAM_WINDOW);
	(void)close(fd);
	finish(&w);
}

static void more_than_the_bound_wait_outside(void **state)
{
	int fds[PORTS_CONNECTIONS + 20];
	struct rlimit most;
	struct world w;

	assert_return_code(getrlimit(RLIMIT_NOFILE, &most), errno);
	most.rlim_cur = most.rlim_max;
	assert_return_code(setrlimit(RLIMIT_NOFILE, &most), errno);
	if (most.rlim_cur < 3 * ARRAY_LEN(fds))
		skip(); /* too few descriptors on this host */
	begin(&w, ECHOES);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = dial_to(port_of(&w, 0));
		assert_return_code(fds[i], errno);
		for (int k = 0; k < 4; k++)
			(void)uv_run(&w.loop, UV_RUN_NOWAIT);
	}
	UNTIL(&w, w.streams == PORTS_CONNECTIONS);
	for (int k = 0; k < 100; k++)
		(void)uv_run(&w.loop, UV_RUN_NOWAIT);
	assert_int_equal(w.most, PORTS_CONNECTIONS);
	/* A place that gets free is taken by who waits. */
	for (size_t i = 0; i < 20; i++)
		(void)close(fds[i]);
	UNTIL(&w, w.ended == 20 && w.streams == PORTS_CONNECTIONS);
	assert_int_equal(w.most, PORTS_CONNECTIONS);
	for (size_t i = 20; i < ARRAY_LEN(fds); i++)
		(void)close(fds[i]);
	finish(&w);
}

static int apply(struct world *w, const char *text, struct err *err)
{
	json_t *o = json_loads(text, 0, NULL);
	static struct portmap_change c;
	int r = portmap_read_change(o, &c, err);

	json_decref(o);
	return r < 0 ? r : ports_apply(w->ports, &c, err);
}

static void changes_are_whole(void **state)
{
	char text[200];
	struct err err = { 0 };
	struct world w;
	uint16_t first;
	int fd;

	begin(&w, ECHOES);
	first = port_of(&w, 0);
	fd = dial_to(first);
	assert_int_equal(write(fd, "x", 1), 1);
	UNTIL(&w, w.bytes == 1);
	/* The second cannot be had, so the first is not either. */
	(void)str_format(text, sizeof(text), "{\"publish\":[{\"sandbox_port\":80},{\"sandbox_port\":81,\"host_port\":%u}]}", (unsigned)first);
	assert_true(apply(&w, text, &err) < 0);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_non_null(strstr(err.msg, "is in use on this host"));
	assert_true(apply(&w, "{\"unpublish\":[{\"sandbox_port\":3001}]}", &err) < 0);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_int_equal(port_of(&w, 0), first);
	assert_int_equal(port_of(&w, 1), 0);
	/* The same address for another port: its connections are reset, new ones lead there. */
	(void)str_format(text, sizeof(text),
		       "{\"unpublish\":[{\"sandbox_port\":3000}],\"publish\":[{\"sandbox_port\":81,\"host_port\":%u}]}", (unsigned)first);
	assert_int_equal(apply(&w, text, &err), 0);
	assert_int_equal(port_of(&w, 0), first);
	UNTIL(&w, w.ended == 1);
	assert_int_equal(w.error, H2_CANCEL);
	(void)close(fd);
	fd = dial_to(first);
	UNTIL(&w, w.streams == 1);
	assert_string_equal(w.authority, ":81");
	(void)close(fd);
	assert_int_equal(apply(&w, "{\"unpublish\":[{\"sandbox_port\":81}]}", &err), 0);
	assert_int_equal(dial_to(first), -ECONNREFUSED);
	finish(&w);
}

static void a_start_names_what_is_taken(void **state)
{
	struct err err = { 0 };
	struct spec spec = { .name = "other", .nports = 1 };
	struct world w;

	begin(&w, ECHOES);
	assert_int_equal(portmap_parse("80", &spec.ports[0], &err), 0);
	spec.ports[0].host_port = port_of(&w, 0);
	assert_null(ports_new(&w.loop, &spec, &err));
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_non_null(strstr(err.msg, "sbx ports other --unpublish 127.0.0.1:"));
	/* One that the host chooses takes its last choice where that is free, and another one where it is not. */
	spec.ports[0].host_port = 0;
	spec.prefer[0] = port_of(&w, 0);
	{
		struct ports *p = ports_new(&w.loop, &spec, &err);

		assert_non_null(p);
		ports_free(p);
	}
	finish(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_go_both_ways_and_each_way_has_its_end),
		cmocka_unit_test(nobody_listens_is_a_reset),
		cmocka_unit_test(a_client_that_goes_resets_the_stream),
		cmocka_unit_test(a_guest_that_does_not_read_holds_the_client_up),
		cmocka_unit_test(more_than_the_bound_wait_outside),
		cmocka_unit_test(changes_are_whole),
		cmocka_unit_test(a_start_names_what_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
