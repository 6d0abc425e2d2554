/* SPDX-License-Identifier: Apache-2.0
 *
 * resolve: against a name server of the test's own, in the same loop, that answers as each test says.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "oom.h"
#include "unit.h"

#include "proxy/resolve.h"
#include "proxy/turn.h"

enum answer {
	GOOD,      /* 93.184.216.10 and .11; 2606:2800::10 */
	ONLY_V4,   /* no AAAA record */
	V6_SILENT, /* AAAA is not answered */
	SILENT,
	NO_NAME,
	GARBAGE,   /* bytes that are no answer */
	WRONG_ID,  /* a good answer to another question */
	FULL,      /* 40 addresses */
	ZERO_TTL,
};

struct fixture {
	uv_loop_t loop;
	struct turn turn;
	struct resolve *r;
	uv_poll_t poll;
	int server;
	enum answer answer;
	int queries;
	char last[256];
	int done;
	size_t n;
	struct address first;
	const char *error;
};

struct reply {
	uint8_t bytes[4096];
	size_t n;
};

static void put(struct reply *r, const void *bytes, size_t n)
{
	memcpy(r->bytes + r->n, bytes, n);
	r->n += n;
}

static void put_records(struct reply *r, enum answer how, bool v6)
{
	int count = how == FULL ? 40 : v6 ? (how == GOOD || how == WRONG_ID) : how == NO_NAME ? 0 : 2;
	uint32_t ttl = htonl(how == ZERO_TTL ? 0 : 300);

	r->bytes[7] = (uint8_t)count;
	for (int i = 0; i < count; i++) {
		uint8_t v4[4] = { 93, 184, 216, (uint8_t)(10 + i) }, six[16] = { 0x26, 6, 0x28, 0, [15] = (uint8_t)(0x10 + i) };

		put(r, "\xc0\x0c\0", 3);
		put(r, v6 ? "\x1c\0\1" : "\1\0\1", 3);
		put(r, &ttl, 4);
		put(r, v6 ? "\0\x10" : "\0\4", 2);
		put(r, v6 ? six : v4, v6 ? 16 : 4);
	}
}

static void on_query(uv_poll_t *h, int status, int events)
{
	struct fixture *f = h->data;
	struct sockaddr_storage peer;
	socklen_t peer_n = sizeof(peer);
	struct reply r;
	ssize_t n = recvfrom(f->server, r.bytes, 512, 0, (struct sockaddr *)&peer, &peer_n);
	bool v6;

	assert_true(n > 16);
	r.n = (size_t)n;
	/* c-ares adds an OPT record where it speaks EDNS; the question ends after the name and four bytes. */
	r.n = 12;
	while (r.bytes[r.n])
		r.n += 1U + r.bytes[r.n];
	r.n += 5;
	v6 = r.bytes[r.n - 3] == 28;
	f->queries++;
	(void)snprintf(f->last, sizeof(f->last), "%.200s", (char *)r.bytes + 13);
	memcpy(r.bytes + 2, "\x81\x80\0\1\0\0\0\0\0\0", 10);
	if (f->answer == SILENT || (f->answer == V6_SILENT && v6))
		return;
	if (f->answer == NO_NAME)
		r.bytes[3] |= 3;
	if (f->answer == WRONG_ID)
		r.bytes[0] ^= 0x55;
	put_records(&r, f->answer, v6);
	if (f->answer == GARBAGE)
		memset(r.bytes + 2, 0xff, r.n - 2);
	(void)sendto(f->server, r.bytes, r.n, 0, (struct sockaddr *)&peer, peer_n);
}

static void on_resolved(void *user, const struct resolve_result *res)
{
	struct fixture *f = user;

	f->done++;
	f->n = res->n;
	f->error = res->error;
	if (res->n > 0)
		f->first = res->addresses[0];
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(in);
	char text[64];
	const char *servers[] = { text };
	struct err err;

	assert_int_equal(uv_loop_init(&f->loop), 0);
	assert_int_equal(turn_init(&f->turn, &f->loop), 0);
	f->server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->server, (struct sockaddr *)&in, n), 0);
	assert_int_equal(getsockname(f->server, (struct sockaddr *)&in, &n), 0);
	assert_int_equal(uv_poll_init(&f->loop, &f->poll, f->server), 0);
	f->poll.data = f;
	assert_int_equal(uv_poll_start(&f->poll, UV_READABLE, on_query), 0);
	f->r = resolve_new(&f->loop, &f->turn);
	assert_non_null(f->r);
	(void)snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(in.sin_port));
	assert_int_equal(resolve_set_servers(f->r, servers, 1, &err), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	resolve_free(f->r);
	turn_stop(&f->turn);
	uv_close((uv_handle_t *)&f->poll, NULL);
	(void)uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	(void)close(f->server);
	free(f);
	return 0;
}

static void look_up(struct fixture *f, const char *host)
{
	int before = f->done;

	assert_non_null(resolve_start(f->r, host, on_resolved, f));
	assert_int_equal(f->done, before);
	while (f->done == before)
		(void)uv_run(&f->loop, UV_RUN_ONCE);
}

static void test_both_families(void **state)
{
	struct fixture *f = *state;

	look_up(f, "ok.test");
	assert_int_equal(f->n, 3);
	assert_int_equal(f->first.bits, 128);
	assert_null(f->error);
	assert_int_equal(f->queries, 2);
	look_up(f, "ok.test");
	assert_int_equal(f->n, 3);
	assert_int_equal(f->queries, 2);
}

static void test_one_family(void **state)
{
	struct fixture *f = *state;
	uint64_t started = io_now_ms();

	f->answer = ONLY_V4;
	look_up(f, "four.test");
	assert_int_equal(f->n, 2);
	f->answer = V6_SILENT;
	look_up(f, "half.test");
	assert_int_equal(f->n, 2);
	assert_true(io_now_ms() - started < 1500);
}

static void test_no_such_name(void **state)
{
	struct fixture *f = *state;

	f->answer = NO_NAME;
	look_up(f, "none.test");
	assert_int_equal(f->n, 0);
	assert_string_equal(f->error, "unresolved");
	look_up(f, "none.test");
	assert_int_equal(f->queries, 2);
}

static void test_answers_that_are_none(void **state)
{
	struct fixture *f = *state;
	uint64_t started = io_now_ms();

	f->answer = GARBAGE;
	look_up(f, "bad.test");
	assert_int_equal(f->n, 0);
	f->answer = WRONG_ID;
	look_up(f, "spoofed.test");
	assert_int_equal(f->n, 0);
	assert_string_equal(f->error, "unresolved");
	assert_true(io_now_ms() - started < 2 * RESOLVE_TOTAL_MS + 1000);
}

static void test_many_addresses_are_cut(void **state)
{
	struct fixture *f = *state;

	f->answer = FULL;
	look_up(f, "big.test");
	assert_int_equal(f->n, 2 * RESOLVE_ADDRESSES);
}

static void test_nothing_is_kept_longer_than_it_lives(void **state)
{
	struct fixture *f = *state;

	f->answer = ZERO_TTL;
	look_up(f, "brief.test");
	look_up(f, "brief.test");
	assert_int_equal(f->queries, 4);
}

static void test_names_without_a_dot(void **state)
{
	struct fixture *f = *state;

	look_up(f, "wpad");
	assert_int_equal(f->queries, 0);
	assert_string_equal(f->error, "unresolved");
}

static void test_no_search_list(void **state)
{
	struct fixture *f = *state;

	f->answer = NO_NAME;
	assert_int_equal(setenv("LOCALDOMAIN", "leak.test", 1), 0);
	look_up(f, "a.b");
	assert_int_equal(unsetenv("LOCALDOMAIN"), 0);
	assert_int_equal(f->queries, 2);
	assert_string_equal(f->last, "a\1b");
}

static void test_one_lookup_for_all(void **state)
{
	struct fixture *f = *state;
	struct resolve_wait *w;

	for (int i = 0; i < 10; i++)
		assert_non_null(resolve_start(f->r, "ok.test", on_resolved, f));
	w = resolve_start(f->r, "ok.test", on_resolved, f);
	resolve_cancel(w);
	while (f->done < 10)
		(void)uv_run(&f->loop, UV_RUN_ONCE);
	for (int i = 0; i < 5; i++)
		(void)uv_run(&f->loop, UV_RUN_NOWAIT);
	assert_int_equal(f->done, 10);
	assert_int_equal(f->queries, 2);
}

static void test_new_names_have_a_rate(void **state)
{
	struct fixture *f = *state;
	int limited = 0;

	for (int i = 0; i < 3 * RESOLVE_RATE; i++) {
		char host[32];

		(void)snprintf(host, sizeof(host), "n%d.wild.test", i);
		look_up(f, host);
		limited += f->error && strcmp(f->error, "limit") == 0;
	}
	/* A second may begin in the middle. */
	assert_true(limited >= RESOLVE_RATE);
	assert_true(f->queries <= 4 * RESOLVE_RATE);
}

static void test_the_cache_is_bounded(void **state)
{
	struct fixture *f = *state;

	look_up(f, "ok.test");
	for (int i = 0; i < 2 * RESOLVE_CACHE; i++) {
		char host[32];

		(void)snprintf(host, sizeof(host), "x%d", i); /* answered without a query */
		look_up(f, host);
	}
	f->queries = 0;
	look_up(f, "ok.test");
	assert_true(f->queries == 2 || f->error);
}

static void test_servers(void **state)
{
	struct fixture *f = *state;
	const char *good[] = { "1.2.3.4", "[2001:db8::1]:5353", "9.9.9.9:53", "8.8.8.8" }, *bad[] = { "dns.example" };
	struct err err;

	assert_int_equal(resolve_set_servers(f->r, bad, 1, &err), -EINVAL);
	assert_int_equal(resolve_set_servers(f->r, good, 4, &err), 0);
	assert_int_equal(resolve_set_servers(f->r, NULL, 0, &err), 0);
	look_up(f, "ok.test");
	assert_string_equal(f->error, "unresolved");
	assert_int_equal(f->queries, 0);
}

static void test_ending_with_questions_open(void **state)
{
	struct fixture *f = *state;

	f->answer = SILENT;
	assert_non_null(resolve_start(f->r, "slow.test", on_resolved, f));
	assert_non_null(resolve_start(f->r, "other.test", on_resolved, f));
	for (int i = 0; i < 5; i++)
		(void)uv_run(&f->loop, UV_RUN_NOWAIT);
	assert_int_equal(f->done, 0);
	/* teardown frees it */
}

static void test_waits_are_bounded(void **state)
{
	struct fixture *f = *state;

	f->answer = SILENT;
	for (int i = 0; i < RESOLVE_WAITS; i++)
		assert_non_null(resolve_start(f->r, "slow.test", on_resolved, f));
	assert_null(resolve_start(f->r, "slow.test", on_resolved, f));
}

static void test_without_memory(void **state)
{
	struct fixture *f = *state;

	f->answer = SILENT;
	for (long n = 0;; n++) {
		struct resolve_wait *w;

		oom_from(n);
		w = resolve_start(f->r, "ok.test", on_resolved, f);
		if (!oom_off()) {
			assert_non_null(w);
			break;
		}
		if (w)
			resolve_cancel(w);
		f->done = 0;
	}
	/* No deeper than the wait and the entry: then c-ares is asked. */
	for (int i = 0; i < 5; i++)
		(void)uv_run(&f->loop, UV_RUN_NOWAIT);
	assert_int_equal(f->done, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_both_families),
		T(test_one_family),
		T(test_no_such_name),
		T(test_answers_that_are_none),
		T(test_many_addresses_are_cut),
		T(test_nothing_is_kept_longer_than_it_lives),
		T(test_names_without_a_dot),
		T(test_no_search_list),
		T(test_one_lookup_for_all),
		T(test_new_names_have_a_rate),
		T(test_the_cache_is_bounded),
		T(test_servers),
		T(test_ending_with_questions_open),
		T(test_waits_are_bounded),
		T(test_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
