/* SPDX-License-Identifier: Apache-2.0
 *
 * netport: the host's and the guest's end of the control door in one loop, and real listeners. This file stands in for the
 * control door itself (ctl.c), which only passes on what happens to a stream.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own.h"
#include "guest/netport.h"

struct world {
	struct guest guest;
	struct h2 *host, *inside;
	struct h2_stream *stream; /* the host's; NULL once closed */
	struct buf got;
	int status, eofs;
	long error; /* of the closed stream, -1 while it is open */
};

void ctl_kick(struct guest *g)
{
}

/* ---- the guest's end ---- */

static int on_request(void *user, struct h2_stream *s, const struct h2_head *head)
{
	struct ctl_stream *cs = netport_new(&((struct world *)user)->guest, s, head);

	h2_set_user(s, cs);
	return cs ? 0 : -1;
}

static void on_data(void *user, struct h2_stream *s, const uint8_t *bytes, size_t n)
{
	struct ctl_stream *cs = h2_user(s);

	cs->ops->data(cs, bytes, n);
}

static void on_eof(void *user, struct h2_stream *s)
{
	struct ctl_stream *cs = h2_user(s);

	cs->ops->eof(cs);
}

static void on_writable(void *user, struct h2_stream *s)
{
	struct ctl_stream *cs = h2_user(s);

	cs->ops->writable(cs);
}

static void on_closed(void *user, struct h2_stream *s, uint32_t error)
{
	struct ctl_stream *cs = h2_user(s);

	cs->ops->closed(cs, error);
}

static const struct h2_ops inside_ops = { on_request, NULL, on_data, on_eof, on_writable, on_closed };

/* ---- the host's end ---- */

static void host_response(void *user, struct h2_stream *s, int status)
{
	((struct world *)user)->status = status;
}

static void host_data(void *user, struct h2_stream *s, const uint8_t *bytes, size_t n)
{
	assert_int_equal(buf_append(&((struct world *)user)->got, bytes, n), 0);
	h2_consume(s, n);
}

static void host_eof(void *user, struct h2_stream *s)
{
	((struct world *)user)->eofs++;
}

static void host_writable(void *user, struct h2_stream *s)
{
}

static void host_closed(void *user, struct h2_stream *s, uint32_t error)
{
	struct world *w = user;

	if (w->stream != s)
		return;
	w->stream = NULL;
	w->error = error;
}

static const struct h2_ops host_ops = { NULL, host_response, host_data, host_eof, host_writable, host_closed };

static void carry(struct h2 *from, struct h2 *to)
{
	const uint8_t *bytes;
	long n;

	while ((n = h2_pull(from, &bytes)) > 0)
		assert_int_equal(h2_feed(to, bytes, (size_t)n), 0);
	assert_int_equal(n, 0);
}

static void turn(struct world *w)
{
	carry(w->host, w->inside);
	(void)uv_run(&w->guest.loop, UV_RUN_NOWAIT);
	carry(w->inside, w->host);
}

#define UNTIL(w, what)                                     \
	do {                                               \
		uint64_t end_ = io_now_ms() + 20000;       \
		bool met_;                                 \
		while (!(met_ = (what)) && io_now_ms() < end_) \
			turn(w);                           \
		assert_true(met_);                         \
	} while (0)

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	*state = w;
	if (!w || uv_loop_init(&w->guest.loop) != 0)
		return -1;
	w->guest.state = GUEST_READY;
	w->error = -1;
	buf_init(&w->got, 1U << 20);
	w->host = h2_new(H2_CLIENT, &host_ops, w);
	w->inside = h2_new(H2_SERVER, &inside_ops, w);
	return w->host && w->inside ? 0 : -1;
}

static int teardown(void **state)
{
	struct world *w = *state;
	int r;

	h2_free(w->inside);
	h2_free(w->host);
	(void)uv_run(&w->guest.loop, UV_RUN_DEFAULT);
	r = uv_loop_close(&w->guest.loop);
	if (w->guest.nports != 0)
		r = -1;
	buf_done(&w->got);
	free(w);
	return r;
}

static void ask(struct world *w, const char *authority)
{
	struct h2_head head = { .method = "POST", .path = "/port" };

	(void)snprintf(head.authority, sizeof(head.authority), "%s", authority);
	w->error = -1;
	w->status = 0;
	w->stream = h2_request(w->host, &head);
	assert_non_null(w->stream);
}

static int listen_v4(uint16_t *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr = { .s_addr = htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	*port = ntohs(sa.sin_port);
	return fd;
}

static int accepted(struct world *w, int listener)
{
	int fd = -1;

	UNTIL(w, (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0);
	return fd;
}

static void ask_port(struct world *w, uint16_t port)
{
	char authority[16];

	(void)snprintf(authority, sizeof(authority), ":%u", port);
	ask(w, authority);
}

static void hear(struct world *w, int fd, const char *wanted)
{
	char got[64] = "";
	ssize_t n = -1;

	UNTIL(w, (n = recv(fd, got, sizeof(got) - 1, 0)) >= 0);
	assert_int_equal(n, strlen(wanted));
	assert_memory_equal(got, wanted, strlen(wanted));
}

/* ---- the cases ---- */

static void bytes_and_ends_go_both_ways(void **state)
{
	struct world *w = *state;
	uint16_t port;
	int l = listen_v4(&port), fd;

	ask_port(w, port);
	/* Before the answer. */
	assert_int_equal(h2_write(w->stream, "early", 5), 5);
	fd = accepted(w, l);
	UNTIL(w, w->status == 200);
	hear(w, fd, "early");
	assert_int_equal(send(fd, "hello", 5, 0), 5);
	UNTIL(w, buf_len(&w->got) == 5);
	(void)shutdown(fd, SHUT_WR);
	UNTIL(w, w->eofs == 1);
	assert_int_equal(h2_write(w->stream, "late", 4), 4);
	h2_shutdown(w->stream);
	hear(w, fd, "late");
	hear(w, fd, "");
	UNTIL(w, !w->stream);
	assert_int_equal(w->error, 0);
	UNTIL(w, w->guest.nports == 0);
	(void)close(fd);
	(void)close(l);
}

static void all_at_once_before_the_answer(void **state)
{
	struct world *w = *state;
	uint16_t port;
	int l = listen_v4(&port), fd;

	ask_port(w, port);
	assert_int_equal(h2_write(w->stream, "question", 8), 8);
	h2_shutdown(w->stream);
	fd = accepted(w, l);
	hear(w, fd, "question");
	hear(w, fd, "");
	assert_int_equal(send(fd, "answer", 6, 0), 6);
	(void)close(fd);
	UNTIL(w, !w->stream);
	assert_int_equal(w->error, 0);
	assert_memory_equal(buf_bytes(&w->got), "answer", 6);
	(void)close(l);
}

static void who_listens_on_ipv6_only_is_found(void **state)
{
	struct world *w = *state;
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	socklen_t len = sizeof(sa);
	int l = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), fd;

	if (l < 0 || bind(l, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		own_close_p(&l);
		skip(); /* this host has no IPv6 */
	}
	assert_int_equal(listen(l, 8), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&sa, &len), 0);
	ask_port(w, ntohs(sa.sin6_port));
	fd = accepted(w, l);
	UNTIL(w, w->status == 200);
	(void)close(fd);
	(void)close(l);
}

static void where_nobody_listens(void **state)
{
	struct world *w = *state;
	uint16_t port;
	int l = listen_v4(&port);

	(void)close(l);
	ask_port(w, port);
	UNTIL(w, !w->stream);
	assert_int_equal(w->error, H2_CONNECT_ERROR);
	assert_int_equal(w->status, 0);
	UNTIL(w, w->guest.nports == 0);
}

static void what_is_no_port_is_refused(void **state)
{
	static const char *const bad[] = { ":0", ":65536", ":", "80", "host:80", ":080", ":8x", ":-1", "::1:80" };
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ask(w, bad[i]);
		UNTIL(w, !w->stream);
		assert_int_not_equal(w->error, 0);
		assert_int_equal(w->guest.nports, 0);
	}
	w->guest.state = GUEST_SETTING;
	ask(w, ":80");
	UNTIL(w, !w->stream);
	assert_int_equal(w->guest.nports, 0);
}

static void resets_pass(void **state)
{
	struct world *w = *state;
	struct linger now = { .l_onoff = 1 };
	uint16_t port;
	int l = listen_v4(&port), fd;

	ask_port(w, port);
	fd = accepted(w, l);
	UNTIL(w, w->status == 200);
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	(void)close(fd);
	UNTIL(w, !w->stream);
	assert_int_equal(w->error, H2_CANCEL);
	ask_port(w, port);
	fd = accepted(w, l);
	UNTIL(w, w->status == 200);
	h2_reset(w->stream, H2_CANCEL);
	for (int i = 0; i < 10; i++)
		turn(w);
	assert_int_equal(recv(fd, &now, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	(void)close(fd);
	(void)close(l);
}

/* The host gives up before anybody answered. */
static void a_reset_while_connecting(void **state)
{
	struct world *w = *state;
	uint16_t port;
	int l = listen_v4(&port);

	ask_port(w, port);
	carry(w->host, w->inside);
	assert_int_equal(w->guest.nports, 1);
	h2_reset(w->stream, H2_CANCEL);
	UNTIL(w, w->guest.nports == 0);
	(void)close(l);
}

static void there_is_a_maximum(void **state)
{
	struct world *w = *state;
	struct h2_head head = { .method = "POST", .path = "/port", .authority = ":1" };

	for (int i = 0; i < NETPORT_MAX; i++)
		assert_non_null(h2_request(w->host, &head));
	carry(w->host, w->inside);
	assert_int_equal(w->guest.nports, NETPORT_MAX);
	ask(w, ":1");
	carry(w->host, w->inside);
	assert_int_equal(w->guest.nports, NETPORT_MAX);
	UNTIL(w, !w->stream);
	assert_int_equal(w->error, 7); /* REFUSED_STREAM, RFC 9113 section 7 */
	UNTIL(w, w->guest.nports == 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(bytes_and_ends_go_both_ways), CASE(all_at_once_before_the_answer),
		CASE(who_listens_on_ipv6_only_is_found), CASE(where_nobody_listens),
		CASE(what_is_no_port_is_refused), CASE(resets_pass),
		CASE(a_reset_while_connecting), CASE(there_is_a_maximum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
