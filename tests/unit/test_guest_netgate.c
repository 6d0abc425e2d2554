/* SPDX-License-Identifier: Apache-2.0
 *
 * netgate: real connections to the forward proxy's listener, and an HTTP/2 server at the other end of the door, all in one
 * loop. The first byte that a connection sends says what the server does with it:
 *
 *   e  echoes everything, and ends when the client ended
 *   c  counts, and answers the number when the client ended
 *   s  reads nothing more
 *   f  floods: sends as much as it can
 *   h  ends its own direction at once, and counts
 *   r  resets
 */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own.h"
#include "base/pump.h"
#include "guest/netgate.h"

#define MEMORY_MAX (64U << 20)

struct peer {
	struct h2_stream *stream;
	struct buf echo;
	size_t got;
	char mode;
	bool eof, answered;
};

struct world {
	uv_loop_t loop;
	struct netgate *gate;
	struct pump pump;
	struct h2 *server;
	bool pump_open, refuse_all, door_shut;
	int far; /* the server's end, until it is served */
	int sessions, requests, resets;
	size_t flooded;
	struct h2_head head;
	uint16_t proxy_port;
};

/* ---- the server ---- */

static void flood(struct world *w, struct peer *p)
{
	static const uint8_t chunk[16384];
	size_t n;

	while ((n = h2_write(p->stream, chunk, sizeof(chunk))) > 0)
		w->flooded += n;
}

static void pass(struct world *w, struct peer *p)
{
	char text[32];

	if (p->mode == 'e') {
		size_t n = h2_write(p->stream, buf_bytes(&p->echo), buf_len(&p->echo));

		buf_consume(&p->echo, n);
		h2_consume(p->stream, n);
		if (p->eof && buf_len(&p->echo) == 0)
			h2_shutdown(p->stream);
	} else if (p->eof && !p->answered && p->mode == 'c') {
		p->answered = true;
		(void)snprintf(text, sizeof(text), "%zu", p->got);
		(void)h2_write(p->stream, text, strlen(text));
		h2_shutdown(p->stream);
	} else if (p->mode == 'f') {
		flood(w, p);
	}
}

static int on_request(void *user, struct h2_stream *s, const struct h2_head *head)
{
	struct world *w = user;
	struct peer *p;

	w->requests++;
	w->head = *head;
	if (w->refuse_all)
		return -1;
	p = calloc(1, sizeof(*p));
	assert_non_null(p);
	p->stream = s;
	buf_init(&p->echo, H2_STREAM_WINDOW);
	h2_set_user(s, p);
	return h2_respond(s, 200);
}

static void on_data(void *user, struct h2_stream *s, const uint8_t *bytes, size_t n)
{
	struct peer *p = h2_user(s);

	p->got += n;
	if (!p->mode) {
		p->mode = (char)bytes[0];
		if (p->mode == 'h')
			h2_shutdown(s);
	}
	if (p->mode == 'r') {
		h2_reset(s, H2_INTERNAL_ERROR);
		return;
	}
	if (p->mode == 'e')
		assert_int_equal(buf_append(&p->echo, bytes, n), 0);
	else if (p->mode != 's')
		h2_consume(s, n);
	pass(user, p);
}

static void on_eof(void *user, struct h2_stream *s)
{
	struct peer *p = h2_user(s);

	p->eof = true;
	pass(user, p);
}

static void on_writable(void *user, struct h2_stream *s)
{
	pass(user, h2_user(s));
}

static void on_closed(void *user, struct h2_stream *s, uint32_t error)
{
	struct world *w = user;
	struct peer *p = h2_user(s);

	w->resets += error != 0;
	buf_done(&p->echo);
	free(p);
}

static const struct h2_ops server_ops = { on_request, NULL, on_data, on_eof, on_writable, on_closed };

static int on_bytes(struct pump *p, const uint8_t *bytes, size_t n)
{
	struct world *w = p->user;
	int r = h2_feed(w->server, bytes, n);

	pump_kick(p);
	return r;
}

static long on_pull(struct pump *p, const uint8_t **ret)
{
	return h2_pull(((struct world *)p->user)->server, ret);
}

static void on_end(struct pump *p, int error)
{
	struct world *w = p->user;

	h2_free(TAKE_PTR(w->server));
}

static void on_pump_closed(struct pump *p)
{
	((struct world *)p->user)->pump_open = false;
}

static const struct pump_ops pump_ops = { on_bytes, on_pull, on_end, on_pump_closed };

static void serve(struct world *w)
{
	assert_false(w->pump_open);
	w->server = h2_new(H2_SERVER, &server_ops, w);
	assert_non_null(w->server);
	assert_int_equal(pump_start(&w->pump, &w->loop, TAKE_FD(w->far), &pump_ops, w), 0);
	w->pump_open = true;
}

static void hang_up(struct world *w)
{
	if (!w->pump_open)
		return;
	pump_stop(&w->pump);
	h2_free(TAKE_PTR(w->server));
}

/* ---- the world ---- */

static int open_door(void *user)
{
	struct world *w = user;
	int fds[2];

	if (w->door_shut)
		return -ECONNREFUSED;
	assert_int_equal(io_socketpair(fds), 0);
	if (w->far >= 0)
		(void)close(w->far);
	w->far = fds[0];
	w->sessions++;
	return fds[1];
}

static const struct netdoor_port door = { .open = open_door, .quiet_ms = 100, .dead_ms = 500 };

static int setup(void **state)
{
	static struct world w;
	struct netgate_config c = { .loop = &w.loop, .address = 0x7f000001, .door = &door, .door_user = &w };
	struct rlimit files = { .rlim_cur = 4096, .rlim_max = 4096 };
	struct err err = { 0 };
	uint16_t port, dns_port;

	(void)setrlimit(RLIMIT_NOFILE, &files);
	w = (struct world){ .far = -1 };
	if (uv_loop_init(&w.loop) != 0 || netgate_start(&c, &w.gate, &err) < 0)
		return -1;
	netgate_ports(w.gate, &port, &w.proxy_port, &dns_port);
	serve(&w);
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	netgate_free(w->gate);
	hang_up(w);
	own_close_p(&w->far);
	(void)uv_run(&w->loop, UV_RUN_DEFAULT);
	return uv_loop_close(&w->loop);
}

static int dial(struct world *w)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(w->proxy_port),
				  .sin_addr = { .s_addr = htonl(0x7f000001) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static void reset(int fd)
{
	struct linger now = { .l_onoff = 1 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	(void)close(fd);
}

static void turn(struct world *w)
{
	(void)uv_run(&w->loop, UV_RUN_NOWAIT);
}

/* What arrives next: bytes, 0 at the end, -errno. */
static ssize_t hear(struct world *w, int fd, void *dst, size_t size)
{
	uint64_t end = io_now_ms() + 20000;

	while (io_now_ms() < end) {
		ssize_t n = recv(fd, dst, size, MSG_DONTWAIT);

		if (n >= 0)
			return n;
		if (errno != EAGAIN)
			return -errno;
		turn(w);
	}
	return -ETIMEDOUT;
}

static void say(struct world *w, int fd, const void *bytes, size_t n)
{
	uint64_t end = io_now_ms() + 20000;

	while (n > 0) {
		ssize_t s = send(fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);

		assert_true(io_now_ms() < end);
		assert_true(s > 0 || errno == EAGAIN);
		if (s > 0) {
			bytes = (const uint8_t *)bytes + s;
			n -= (size_t)s;
		}
		turn(w);
	}
}

/* Sends until nothing more goes for a while; how much went. */
static size_t stuff(struct world *w, int fd)
{
	static const uint8_t chunk[65536];
	size_t total = 0;

	for (int still = 0; still < 200; still++) {
		ssize_t n = send(fd, chunk, sizeof(chunk), MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			total += (size_t)n;
			still = 0;
		}
		turn(w);
	}
	return total;
}

#define UNTIL(w, what)                                     \
	do {                                               \
		uint64_t end_ = io_now_ms() + 20000;       \
		bool met_;                                 \
		while (!(met_ = (what)) && io_now_ms() < end_) \
			turn(w);                           \
		assert_true(met_);                         \
	} while (0)

/* ---- the cases ---- */

static void bytes_go_both_ways(void **state)
{
	struct world *w = *state;
	char got[16] = "";
	int fd = dial(w);

	say(w, fd, "e hello", 7);
	assert_int_equal(hear(w, fd, got, sizeof(got)), 7);
	assert_string_equal(got, "e hello");
	assert_string_equal(w->head.method, "CONNECT");
	assert_string_equal(w->head.authority, "gateway.docker.internal:3128");
	assert_int_equal(netgate_connections(w->gate), 1);
	(void)shutdown(fd, SHUT_WR);
	assert_int_equal(hear(w, fd, got, sizeof(got)), 0);
	UNTIL(w, netgate_connections(w->gate) == 0);
	assert_int_equal(w->resets, 0);
	(void)close(fd);
}

static void the_client_may_end_first(void **state)
{
	struct world *w = *state;
	char got[16] = "";
	int fd = dial(w);

	say(w, fd, "c 456", 5);
	(void)shutdown(fd, SHUT_WR);
	assert_int_equal(hear(w, fd, got, sizeof(got)), 1);
	assert_string_equal(got, "5");
	assert_int_equal(hear(w, fd, got, sizeof(got)), 0);
	(void)close(fd);
}

static void the_server_may_end_first(void **state)
{
	struct world *w = *state;
	char got[16];
	int fd = dial(w);

	say(w, fd, "h", 1);
	assert_int_equal(hear(w, fd, got, sizeof(got)), 0);
	/* The other way is still open. */
	say(w, fd, "more", 4);
	assert_int_equal(netgate_connections(w->gate), 1);
	(void)close(fd);
	UNTIL(w, netgate_connections(w->gate) == 0);
	assert_int_equal(w->resets, 0);
}

static void a_reset_of_the_stream_resets_the_connection(void **state)
{
	struct world *w = *state;
	char got[16];
	int fd = dial(w);

	say(w, fd, "r", 1);
	assert_int_equal(hear(w, fd, got, sizeof(got)), -ECONNRESET);
	UNTIL(w, netgate_connections(w->gate) == 0);
	(void)close(fd);
}

static void a_reset_of_the_connection_resets_the_stream(void **state)
{
	struct world *w = *state;
	char got[16];
	int fd = dial(w);

	say(w, fd, "e", 1);
	assert_int_equal(hear(w, fd, got, sizeof(got)), 1);
	reset(fd);
	UNTIL(w, netgate_connections(w->gate) == 0);
	UNTIL(w, w->resets == 1);
}

/* Even where the client had ended its direction, and nothing moves. */
static void a_reset_after_the_end_is_noticed(void **state)
{
	struct world *w = *state;
	int fd = dial(w);

	say(w, fd, "s", 1);
	(void)shutdown(fd, SHUT_WR);
	for (int i = 0; i < 50; i++)
		turn(w);
	assert_int_equal(netgate_connections(w->gate), 1);
	reset(fd);
	UNTIL(w, netgate_connections(w->gate) == 0);
	UNTIL(w, w->resets == 1);
}

static void a_refused_stream_is_a_reset(void **state)
{
	struct world *w = *state;
	char got[16];
	int fd;

	w->refuse_all = true;
	fd = dial(w);
	assert_int_equal(hear(w, fd, got, sizeof(got)), -ECONNRESET);
	UNTIL(w, netgate_connections(w->gate) == 0);
	(void)close(fd);
}

static void much_goes_through_whole(void **state)
{
	enum { MUCH = 8 << 20 };
	struct world *w = *state;
	uint8_t *sent = malloc(MUCH), *got = malloc(MUCH);
	size_t out = 0, in = 0;
	int fd = dial(w);

	assert_non_null(sent);
	assert_non_null(got);
	for (size_t i = 0; i < MUCH; i++)
		sent[i] = (uint8_t)(i * 2654435761U >> 13);
	sent[0] = 'e';
	while (in < MUCH) {
		ssize_t n = out < MUCH ? send(fd, sent + out, MUCH - out, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

		out += n > 0 ? (size_t)n : 0;
		n = hear(w, fd, got + in, MUCH - in);
		assert_true(n > 0);
		in += (size_t)n;
	}
	assert_memory_equal(sent, got, MUCH);
	(void)close(fd);
	free(sent);
	free(got);
}

/* A stream that the host does not read stops its own client, after a bounded amount, and no other one. */
static void who_is_not_read_stops_alone(void **state)
{
	struct world *w = *state;
	char got[16];
	int stuck = dial(w), other;

	say(w, stuck, "s", 1);
	/* The windows, our queue, and both socket buffers. */
	assert_true(stuff(w, stuck) < 32U << 20);
	assert_int_equal(send(stuck, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL), -1);
	other = dial(w);
	say(w, other, "e lively", 8);
	assert_int_equal(hear(w, other, got, sizeof(got)), 8);
	reset(stuck);
	(void)close(other);
	UNTIL(w, netgate_connections(w->gate) == 0);
}

/* And a client that does not read stops the host's sending to it. */
static void who_does_not_read_is_not_sent_to(void **state)
{
	struct world *w = *state;
	char got[16];
	size_t before;
	int stuck = dial(w), other;

	say(w, stuck, "f", 1);
	do {
		before = w->flooded;
		for (int i = 0; i < 200; i++)
			turn(w);
	} while (w->flooded > before);
	assert_true(before > 0 && before < 32U << 20);
	other = dial(w);
	say(w, other, "e lively", 8);
	assert_int_equal(hear(w, other, got, sizeof(got)), 8);
	/* It goes on when it is read. */
	for (int i = 0; i < 64; i++) {
		static uint8_t sink[65536];

		assert_true(hear(w, stuck, sink, sizeof(sink)) > 0);
	}
	UNTIL(w, w->flooded > before);
	(void)close(stuck);
	(void)close(other);
}

static void a_thousand_at_once_and_no_more(void **state)
{
	struct world *w = *state;
	int fd[NETGATE_CONNECTIONS + 1];
	char got[16];

	for (int i = 0; i <= NETGATE_CONNECTIONS; i++) {
		fd[i] = dial(w);
		turn(w);
	}
	for (int i = 0; i < NETGATE_CONNECTIONS; i++)
		say(w, fd[i], "e", 1);
	for (int i = 0; i < NETGATE_CONNECTIONS; i++)
		assert_int_equal(hear(w, fd[i], got, sizeof(got)), 1);
	assert_int_equal(netgate_connections(w->gate), NETGATE_CONNECTIONS);
	assert_int_equal(hear(w, fd[NETGATE_CONNECTIONS], got, sizeof(got)), -ECONNRESET);
	for (int i = 0; i <= NETGATE_CONNECTIONS; i++)
		(void)close(fd[i]);
	UNTIL(w, netgate_connections(w->gate) == 0);
	assert_int_equal(w->requests, NETGATE_CONNECTIONS);
}

static void a_new_session_follows_a_lost_one(void **state)
{
	struct world *w = *state;
	char got[16];
	int fd = dial(w);

	say(w, fd, "e", 1);
	assert_int_equal(hear(w, fd, got, sizeof(got)), 1);
	w->door_shut = true;
	hang_up(w);
	assert_int_equal(hear(w, fd, got, sizeof(got)), -ECONNRESET);
	(void)close(fd);
	/* While nobody is there nothing is kept waiting. */
	fd = dial(w);
	assert_int_equal(hear(w, fd, got, sizeof(got)), -ECONNRESET);
	(void)close(fd);
	w->door_shut = false;
	UNTIL(w, w->sessions == 2);
	serve(w);
	fd = dial(w);
	say(w, fd, "e again", 7);
	assert_int_equal(hear(w, fd, got, sizeof(got)), 7);
	(void)close(fd);
}

static void rubbish_from_the_host_begins_a_new_session(void **state)
{
	struct world *w = *state;
	char got[16];
	int fd = dial(w);

	say(w, fd, "e", 1);
	assert_int_equal(hear(w, fd, got, sizeof(got)), 1);
	assert_int_equal(send(w->pump.fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, MSG_NOSIGNAL), 28);
	assert_int_equal(hear(w, fd, got, sizeof(got)), -ECONNRESET);
	(void)close(fd);
	UNTIL(w, w->sessions == 2 && !w->pump_open);
	serve(w);
	fd = dial(w);
	say(w, fd, "e", 1);
	assert_int_equal(hear(w, fd, got, sizeof(got)), 1);
	(void)close(fd);
}

/* The other end is there and says nothing: that is found out, and what waits for it is not left waiting. */
static void a_silent_host_is_noticed(void **state)
{
	struct world *w = *state;
	char got[16];
	int fd;

	hang_up(w);
	UNTIL(w, w->sessions == 2);
	fd = dial(w);
	assert_int_equal(hear(w, fd, got, sizeof(got)), -ECONNRESET);
	(void)close(fd);
	UNTIL(w, w->sessions == 3);
	serve(w);
	/* And one that only has nothing to say is left alone. */
	fd = dial(w);
	say(w, fd, "s", 1);
	for (uint64_t end = io_now_ms() + 1200; io_now_ms() < end;)
		turn(w);
	assert_int_equal(w->sessions, 3);
	assert_int_equal(netgate_connections(w->gate), 1);
	(void)close(fd);
}

/* Who comes straight to the transparent listener wanted to go nowhere. */
static void the_transparent_listener_is_no_destination(void **state)
{
	struct world *w = *state;
	uint16_t port, proxy_port, dns_port;
	char got[16];
	int fd;

	netgate_ports(w->gate, &port, &proxy_port, &dns_port);
	w->proxy_port = port;
	fd = dial(w);
	assert_int_equal(hear(w, fd, got, sizeof(got)), -ECONNRESET);
	assert_int_equal(w->requests, 0);
	(void)close(fd);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(bytes_go_both_ways),
		CASE(the_client_may_end_first),
		CASE(the_server_may_end_first),
		CASE(a_reset_of_the_stream_resets_the_connection),
		CASE(a_reset_of_the_connection_resets_the_stream),
		CASE(a_reset_after_the_end_is_noticed),
		CASE(a_refused_stream_is_a_reset),
		CASE(much_goes_through_whole),
		CASE(who_is_not_read_stops_alone),
		CASE(who_does_not_read_is_not_sent_to),
		CASE(a_thousand_at_once_and_no_more),
		CASE(a_new_session_follows_a_lost_one),
		CASE(rubbish_from_the_host_begins_a_new_session),
		CASE(a_silent_host_is_noticed),
		CASE(the_transparent_listener_is_no_destination),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
