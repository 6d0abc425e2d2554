/* SPDX-License-Identifier: Apache-2.0
 *
 * h2: two sessions joined by hand, so that every byte on the wire is seen.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "wire/h2.h"

struct side {
	struct h2 *h;
	struct h2_stream *last; /* the newest stream; NULL once it closed */
	struct h2_head head;
	struct buf got;
	int status, eofs, closes, writables, refuse;
	uint32_t error;
	bool hold; /* do not give the window back */
};

static int on_request(void *user, struct h2_stream *s, const struct h2_head *head)
{
	struct side *e = user;

	if (e->refuse)
		return -1;
	e->last = s;
	e->head = *head;
	return 0;
}

static void on_response(void *user, struct h2_stream *s, int status)
{
	((struct side *)user)->status = status;
}

static void on_data(void *user, struct h2_stream *s, const uint8_t *bytes, size_t n)
{
	struct side *e = user;

	assert_int_equal(buf_append(&e->got, bytes, n), 0);
	if (!e->hold)
		h2_consume(s, n);
}

static void on_eof(void *user, struct h2_stream *s)
{
	((struct side *)user)->eofs++;
}

static void on_writable(void *user, struct h2_stream *s)
{
	((struct side *)user)->writables++;
}

static void on_closed(void *user, struct h2_stream *s, uint32_t error)
{
	struct side *e = user;

	e->closes++;
	e->error = error;
	if (e->last == s)
		e->last = NULL;
}

static const struct h2_ops ops = { on_request, on_response, on_data, on_eof, on_writable, on_closed };

struct pair {
	struct side client, server;
};

static void shuttle_one(struct side *from, struct side *to)
{
	const uint8_t *bytes;
	long n;

	while ((n = h2_pull(from->h, &bytes)) > 0)
		assert_int_equal(h2_feed(to->h, bytes, (size_t)n), 0);
	assert_int_equal(n, 0);
}

static void shuttle(struct pair *p)
{
	for (int i = 0; i < 8; i++) {
		shuttle_one(&p->client, &p->server);
		shuttle_one(&p->server, &p->client);
	}
}

static int setup(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));

	buf_init(&p->client.got, 64U << 20);
	buf_init(&p->server.got, 64U << 20);
	p->client.h = h2_new(H2_CLIENT, &ops, &p->client);
	p->server.h = h2_new(H2_SERVER, &ops, &p->server);
	*state = p;
	return p->client.h && p->server.h ? 0 : -1;
}

static int teardown(void **state)
{
	struct pair *p = *state;

	h2_free(p->client.h);
	h2_free(p->server.h);
	buf_done(&p->client.got);
	buf_done(&p->server.got);
	free(p);
	return 0;
}

static struct h2_stream *open_stream(struct pair *p)
{
	struct h2_head head = { .method = "POST", .path = "/exec" };
	struct h2_stream *s = h2_request(p->client.h, &head);

	assert_non_null(s);
	p->client.last = s;
	shuttle(p);
	return s;
}

static void a_request_is_answered(void **state)
{
	struct pair *p = *state;
	struct h2_stream *s = open_stream(p);

	assert_string_equal(p->server.head.method, "POST");
	assert_string_equal(p->server.head.path, "/exec");
	assert_int_equal(h2_write(s, "hello", 5), 5);
	h2_shutdown(s);
	shuttle(p);
	assert_int_equal(buf_len(&p->server.got), 5);
	assert_memory_equal(buf_bytes(&p->server.got), "hello", 5);
	assert_int_equal(p->server.eofs, 1);
	assert_int_equal(h2_respond(p->server.last, 200), 0);
	assert_int_equal(h2_write(p->server.last, "world", 5), 5);
	h2_shutdown(p->server.last);
	shuttle(p);
	assert_int_equal(p->client.status, 200);
	assert_memory_equal(buf_bytes(&p->client.got), "world", 5);
	assert_int_equal(p->client.eofs, 1);
	assert_int_equal(p->client.closes, 1);
	assert_int_equal(p->client.error, 0);
	assert_int_equal(p->server.closes, 1);
}

static void connect_carries_its_authority(void **state)
{
	struct pair *p = *state;
	struct h2_head head = { .method = "CONNECT", .authority = "example.com:443" };

	assert_non_null(h2_request(p->client.h, &head));
	shuttle(p);
	assert_string_equal(p->server.head.method, "CONNECT");
	assert_string_equal(p->server.head.authority, "example.com:443");
	assert_string_equal(p->server.head.path, "");
}

/* What nobody reads stops at the stream's window plus the writer's own bound, and goes on when it is read. */
static void an_unread_stream_is_bounded(void **state)
{
	struct pair *p = *state;
	struct h2_stream *s = open_stream(p);
	static uint8_t chunk[65536];
	size_t total = 0, held;

	p->server.hold = true;
	for (int i = 0; i < 1000; i++) {
		total += h2_write(s, chunk, sizeof(chunk));
		shuttle(p);
	}
	assert_true(total <= H2_STREAM_WINDOW + H2_STREAM_OUT);
	assert_true(total >= H2_STREAM_WINDOW);
	assert_int_equal(h2_room(s), 0);
	held = buf_len(&p->server.got);
	assert_int_equal(held, H2_STREAM_WINDOW);
	assert_int_equal(p->client.writables, 0);
	h2_consume(p->server.last, held);
	p->server.hold = false;
	shuttle(p);
	assert_int_equal(buf_len(&p->server.got), total);
	assert_true(p->client.writables >= 1);
	assert_true(h2_write(s, chunk, sizeof(chunk)) > 0);
}

/* One stream that nobody reads must not stop the others. */
static void a_stuck_stream_stops_no_other(void **state)
{
	struct pair *p = *state;
	struct h2_stream *stuck = open_stream(p), *other;
	static uint8_t chunk[65536];

	p->server.hold = true;
	for (int i = 0; i < 20; i++) {
		(void)h2_write(stuck, chunk, sizeof(chunk));
		shuttle(p);
	}
	p->server.hold = false;
	buf_consume(&p->server.got, buf_len(&p->server.got));
	other = open_stream(p);
	assert_int_equal(h2_write(other, "x", 1), 1);
	shuttle(p);
	assert_int_equal(buf_len(&p->server.got), 1);
}

static void a_reset_closes_once_on_both_sides(void **state)
{
	struct pair *p = *state;

	h2_reset(open_stream(p), H2_CANCEL);
	assert_int_equal(p->client.closes, 1);
	shuttle(p);
	assert_int_equal(p->client.closes, 1);
	assert_int_equal(p->server.closes, 1);
	assert_int_equal(p->server.error, H2_CANCEL);
}

static void a_refused_request_is_closed_for_the_client_only(void **state)
{
	struct pair *p = *state;

	p->server.refuse = 1;
	(void)open_stream(p);
	assert_int_equal(p->client.closes, 1);
	assert_int_equal(p->client.error, 7); /* REFUSED_STREAM, RFC 9113 section 7 */
	assert_int_equal(p->server.closes, 0);
}

static void freeing_closes_what_is_open(void **state)
{
	struct pair *p = *state;

	(void)open_stream(p);
	(void)open_stream(p);
	h2_free(p->client.h);
	p->client.h = NULL;
	assert_int_equal(p->client.closes, 2);
	assert_int_equal(p->client.error, H2_CANCEL);
}

static void garbage_ends_the_session(void **state)
{
	struct pair *p = *state;
	uint8_t junk[64];

	memset(junk, 0xee, sizeof(junk));
	assert_int_equal(h2_feed(p->server.h, junk, sizeof(junk)), -EPROTO);
}

/* A frame that is too long: the session says so (GOAWAY), and is dead then. */
static void a_broken_session_ends_after_its_last_word(void **state)
{
	static const uint8_t frame[9] = { 0x7f, 0xff, 0xff };
	struct pair *p = *state;
	const uint8_t *bytes;
	long n, said = 0;

	(void)open_stream(p);
	assert_int_equal(h2_feed(p->client.h, frame, sizeof(frame)), 0);
	while ((n = h2_pull(p->client.h, &bytes)) > 0)
		said += n;
	assert_true(said > 0);
	assert_int_equal(n, -EPROTO);
}

static void a_ping_is_answered(void **state)
{
	struct pair *p = *state;
	const uint8_t *bytes;
	long n;

	shuttle(p);
	assert_int_equal(h2_pull(p->server.h, &bytes), 0);
	h2_ping(p->client.h);
	n = h2_pull(p->client.h, &bytes);
	assert_int_equal(n, 17); /* RFC 9113 section 6.7 */
	assert_int_equal(h2_feed(p->server.h, bytes, (size_t)n), 0);
	assert_int_equal(h2_pull(p->server.h, &bytes), 17);
	assert_int_equal(bytes[3], 6);
	assert_int_equal(bytes[4], 1);
}

/* Before a byte of it went out. */
static void a_stream_may_be_reset_at_once(void **state)
{
	struct pair *p = *state;
	struct h2_head head = { .method = "CONNECT", .authority = "example.com:443" };
	struct h2_stream *s = h2_request(p->client.h, &head);

	assert_non_null(s);
	assert_int_equal(h2_write(s, "x", 1), 1);
	h2_reset(s, H2_CANCEL);
	assert_int_equal(p->client.closes, 1);
	shuttle(p);
	assert_int_equal(p->client.closes, 1);
	assert_null(p->server.last);
	assert_int_equal(p->server.eofs, 0);
}

/* Each direction of a tunnel ends on its own. */
static void a_tunnel_is_closed_by_halves(void **state)
{
	struct pair *p = *state;
	struct h2_head head = { .method = "CONNECT", .authority = "example.com:443" };
	struct h2_stream *s = h2_request(p->client.h, &head);

	assert_non_null(s);
	/* The client may talk before it was answered. */
	assert_int_equal(h2_write(s, "early", 5), 5);
	shuttle(p);
	assert_int_equal(buf_len(&p->server.got), 5);
	assert_int_equal(h2_respond(p->server.last, 200), 0);
	h2_shutdown(p->server.last);
	shuttle(p);
	assert_int_equal(p->client.status, 200);
	assert_int_equal(p->client.eofs, 1);
	assert_int_equal(p->client.closes, 0);
	assert_int_equal(h2_write(s, "late", 4), 4);
	h2_shutdown(s);
	shuttle(p);
	assert_int_equal(buf_len(&p->server.got), 9);
	assert_int_equal(p->server.eofs, 1);
	assert_int_equal(p->server.closes, 1);
	assert_int_equal(p->client.closes, 1);
	assert_int_equal(p->client.error, 0);
}

static void streams_have_a_limit(void **state)
{
	struct pair *p = *state;
	struct h2_head head = { .method = "POST", .path = "/exec" };
	int opened = 0;

	shuttle(p); /* the server's limit must be known */
	for (int i = 0; i < H2_MAX_STREAMS + 100; i++)
		if (h2_request(p->client.h, &head))
			opened++;
	shuttle(p);
	assert_true(opened >= H2_MAX_STREAMS);
	assert_int_equal(p->client.closes, 0);
	assert_true(p->server.closes == 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(a_request_is_answered),
		CASE(connect_carries_its_authority),
		CASE(an_unread_stream_is_bounded),
		CASE(a_stuck_stream_stops_no_other),
		CASE(a_reset_closes_once_on_both_sides),
		CASE(a_refused_request_is_closed_for_the_client_only),
		CASE(freeing_closes_what_is_open),
		CASE(garbage_ends_the_session),
		CASE(a_broken_session_ends_after_its_last_word),
		CASE(a_ping_is_answered),
		CASE(a_stream_may_be_reset_at_once),
		CASE(a_tunnel_is_closed_by_halves),
		CASE(streams_have_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
