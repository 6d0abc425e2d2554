/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/1.1: what is accepted, byte by byte and whole; everything that two readers could read in two ways is refused;
 * bounds; and what the serializers make, the parser reads.
 */
#include "wire/http1.h"

#include <errno.h>
#include <stdbool.h>

#include "base/own.h"
#include "base/str.h"
#include "oom.h"
#include "unit.h"

struct seen {
	struct http1_head head;
	char body[4096];
	size_t body_len;
	int heads, completes;
	int refuse_with;
};

static int on_head(void *user, const struct http1_head *head)
{
	struct seen *s = user;

	s->head = *head;
	s->heads++;
	return s->refuse_with;
}

static int on_body(void *user, const uint8_t *bytes, size_t n)
{
	struct seen *s = user;

	assert_true(s->body_len + n < sizeof(s->body));
	memcpy(s->body + s->body_len, bytes, n);
	s->body_len += n;
	return 0;
}

static int on_complete(void *user)
{
	((struct seen *)user)->completes++;
	return 0;
}

static const struct http1_ops ops = { .head = on_head, .body = on_body, .complete = on_complete };

/* Feeds text in pieces of `step`; the bytes taken, or the refusal. */
static long feed(enum http1_role role, const char *text, size_t n, size_t step, struct seen *seen)
{
	struct http1 *h = http1_new(role, 1000, &ops, seen);
	struct err err = { 0 };
	size_t at = 0;
	long r = 0;

	assert_non_null(h);
	while (at < n && !http1_is_complete(h)) {
		r = http1_feed(h, (const uint8_t *)text + at, n - at < step ? n - at : step, &err);
		if (r < 0)
			break;
		at += (size_t)r;
	}
	if (r < 0 && !seen->refuse_with) {
		assert_int_equal(err.kind, ERR_INVALID);
		assert_true(str_starts(err.msg, "bad HTTP"));
		/* Dead for ever. */
		assert_int_equal(http1_feed(h, (const uint8_t *)"G", 1, NULL), -EPROTO);
	}
	http1_free(h);
	return r < 0 ? r : (long)at;
}

static long feed_text(enum http1_role role, const char *text, struct seen *seen)
{
	struct seen whole = { 0 };
	long r = feed(role, text, strlen(text), strlen(text), &whole), each;

	for (size_t step = 1; step < 8; step++) {
		struct seen pieces = { 0 };

		each = feed(role, text, strlen(text), step, &pieces);
		if (each != r)
			fail_msg("whole: %ld, in pieces of %zu: %ld\n%s", r, step, each, text);
		assert_int_equal(pieces.completes, whole.completes);
		assert_int_equal(pieces.body_len, whole.body_len);
		assert_memory_equal(pieces.body, whole.body, whole.body_len);
	}
	if (seen)
		*seen = whole;
	return r;
}

#define HOST "Host: localhost\r\n"

static void requests(void **state)
{
	static const char get[] = "GET /v1/sandboxes/a%20b?force=true HTTP/1.1\r\n" HOST "\r\n";
	static const char post[] =
		"POST /v1/x HTTP/1.1\r\nhost:\tlocalhost \r\nContent-Type: Application/JSON; charset=utf-8\r\n"
		"content-length: 5\r\nConnection: close\r\n\r\nhello";
	static const char chunked[] =
		"POST /x HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\nExpect: 100-continue\r\n\r\n"
		"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";
	struct seen s;

	assert_int_equal(feed_text(HTTP1_REQUEST, get, &s), strlen(get));
	assert_string_equal(s.head.method, "GET");
	assert_string_equal(s.head.target, "/v1/sandboxes/a%20b?force=true");
	assert_int_equal(s.completes, 1);
	assert_false(s.head.close);
	assert_int_equal(feed_text(HTTP1_REQUEST, post, &s), strlen(post));
	assert_string_equal(s.head.content_type, "application/json");
	assert_int_equal(s.head.content_length, 5);
	assert_true(s.head.close);
	assert_memory_equal(s.body, "hello", 5);
	assert_int_equal(feed_text(HTTP1_REQUEST, chunked, &s), strlen(chunked));
	assert_true(s.head.chunked && s.head.expect_continue);
	assert_int_equal(s.body_len, 13);
	assert_memory_equal(s.body, "abc0123456789", 13);
}

static void responses(void **state)
{
	static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
	static const char none[] = "HTTP/1.1 204 No Content\r\n\r\n";
	static const char empty_reason[] = "HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n";
	struct seen s;

	assert_int_equal(feed_text(HTTP1_RESPONSE, ok, &s), strlen(ok));
	assert_int_equal(s.head.status, 200);
	assert_int_equal(s.body_len, 2);
	assert_int_equal(feed_text(HTTP1_RESPONSE, none, &s), strlen(none));
	assert_int_equal(s.completes, 1);
	assert_int_equal(feed_text(HTTP1_RESPONSE, empty_reason, &s), strlen(empty_reason));
	assert_int_equal(s.head.status, 404);
}

static void ambiguous_requests(void **state)
{
	static const char *const bad[] = {
		"POST / HTTP/1.1\r\n" HOST "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\n" HOST "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
		"POST / HTTP/1.1\r\n" HOST "Content-Length: 2, 2\r\n\r\n{}",
		"POST / HTTP/1.1\r\n" HOST "Content-Length: +2\r\n\r\n{}",
		"POST / HTTP/1.1\r\n" HOST "Content-Length: 0x2\r\n\r\n{}",
		"POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n{}",
		"POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n",
		"POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999\r\n\r\n",
		"POST / HTTP/1.1\r\n" HOST "Content-Length : 2\r\n\r\n{}",
		"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n",
		"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nTrailer: x\r\n\r\n",
		"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
		"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n",
		"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
		"GET / HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\n" HOST HOST "\r\n",
		"GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n",
		"GET / HTTP/1.1\r\n " HOST "\r\n",
		"GET / HTTP/1.1\r\n" HOST ": x\r\n\r\n",
		"GET / HTTP/1.1\r\n" HOST "X y: x\r\n\r\n",
		"GET / HTTP/1.1\r\n" HOST "no colon\r\n\r\n",
		"GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n",
		"GET / HTTP/1.1\r\n" HOST "X: a\001b\r\n\r\n",
		"GET / HTTP/1.1\n" HOST "\r\n",
		"GET / HTTP/1.1\nHost: l\n\n",
		"GET / HTTP/1.0\r\n" HOST "\r\n",
		"GET / HTTP/2.0\r\n" HOST "\r\n",
		"GET /\r\n" HOST "\r\n",
		"GET  / HTTP/1.1\r\n" HOST "\r\n",
		"GET / a HTTP/1.1\r\n" HOST "\r\n",
		"GET http://localhost/ HTTP/1.1\r\n" HOST "\r\n",
		"GET * HTTP/1.1\r\n" HOST "\r\n",
		"GET /a#b HTTP/1.1\r\n" HOST "\r\n",
		"GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n",
		"get / HTTP/1.1\r\n" HOST "\r\n",
		"FROB / HTTP/1.1\r\n" HOST "\r\n",
		"CONNECT /x HTTP/1.1\r\n" HOST "\r\n",
		"GET / HTTP/1.1\r\n" HOST "Connection: upgrade\r\nUpgrade: h2c\r\n\r\n",
		"GET / HTTP/1.1\r\n" HOST "Upgrade: h2c\r\n\r\n",
		"GET / HTTP/1.1\r\n" HOST "Connection: close, x\r\n\r\n",
		"GET / HTTP/1.1\r\n" HOST "Expect: magic\r\n\r\n",
		"\r\nGET / HTTP/1.1\r\n" HOST "\r\n",
		" GET / HTTP/1.1\r\n" HOST "\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct seen s;
		long r = feed_text(HTTP1_REQUEST, bad[i], &s);

		if (r >= 0 || s.completes)
			fail_msg("accepted: %s", bad[i]);
	}
}

static void ambiguous_responses(void **state)
{
	static const char *const bad[] = {
		"HTTP/1.1 200 OK\r\n\r\nuntil the end",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n{}",
		"HTTP/1.1 100 Continue\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
		"HTTP/1.1 600 What\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n",
		"GET / HTTP/1.1\r\n" HOST "\r\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (feed_text(HTTP1_RESPONSE, bad[i], NULL) >= 0)
			fail_msg("accepted: %s", bad[i]);
}

static void a_nul_byte(void **state)
{
	static const char bad[] = "GET / HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n";
	struct seen s = { 0 };

	assert_int_equal(feed(HTTP1_REQUEST, bad, sizeof(bad) - 1, 5, &s), -EPROTO);
}

/* A body of n bytes by length and by chunks against the limit of 1000. */
static long body_of(size_t n, bool chunked)
{
	static char text[8192];
	struct seen s = { 0 };
	int at;

	at = chunked ? snprintf(text, sizeof(text),
				"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n%zx\r\n%0*d\r\n0\r\n\r\n",
				n, (int)n, 0)
		     : snprintf(text, sizeof(text), "POST / HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n%0*d", n,
				(int)n, 0);
	return feed(HTTP1_REQUEST, text, (size_t)at, 100, &s);
}

static void bounds(void **state)
{
	static char text[3 * HTTP1_HEAD_MAX];
	struct seen s = { 0 };
	size_t at;

	assert_true(body_of(1000, false) > 0);
	assert_true(body_of(1000, true) > 0);
	assert_int_equal(body_of(1001, false), -EMSGSIZE);
	assert_int_equal(body_of(1001, true), -EMSGSIZE);
	/* A header that never ends, a target that is too long, too many fields. */
	at = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" HOST "X: %020000d\r\n\r\n", 1);
	assert_int_equal(feed(HTTP1_REQUEST, text, at, 1000, &s), -EMSGSIZE);
	assert_int_equal(feed(HTTP1_REQUEST, text, at, at, &s), -EMSGSIZE);
	at = (size_t)snprintf(text, sizeof(text), "GET /%0*d HTTP/1.1\r\n" HOST "\r\n", HTTP1_TARGET_MAX, 1);
	assert_int_equal(feed(HTTP1_REQUEST, text, at, 1000, &s), -EMSGSIZE);
	for (int fields = HTTP1_FIELDS_MAX; fields <= HTTP1_FIELDS_MAX + 1; fields++) {
		at = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" HOST);
		for (int i = 1; i < fields; i++)
			at += (size_t)snprintf(text + at, sizeof(text) - at, "X: y\r\n");
		at += (size_t)snprintf(text + at, sizeof(text) - at, "\r\n");
		assert_int_equal(feed(HTTP1_REQUEST, text, at, 100, &s),
				 fields > HTTP1_FIELDS_MAX ? -EMSGSIZE : (long)at);
	}
	assert_int_equal(s.completes, 1);
}

static void one_message_after_another(void **state)
{
	static const char two[] =
		"POST /1 HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\n" HOST "\r\n";
	struct seen s = { 0 };
	struct http1 *h = http1_new(HTTP1_REQUEST, 1000, &ops, &s);
	long r;

	assert_int_equal(http1_eof(h, NULL), 0);
	r = http1_feed(h, (const uint8_t *)two, strlen(two), NULL);
	assert_true(r > 0 && (size_t)r < strlen(two));
	assert_true(http1_is_complete(h));
	assert_string_equal(s.head.target, "/1");
	/* Complete: nothing more is taken before http1_next. */
	assert_int_equal(http1_feed(h, (const uint8_t *)two + r, strlen(two) - (size_t)r, NULL), 0);
	http1_next(h);
	assert_false(http1_is_started(h));
	assert_int_equal(http1_feed(h, (const uint8_t *)two + r, strlen(two) - (size_t)r, NULL),
			 strlen(two) - (size_t)r);
	assert_string_equal(s.head.target, "/2");
	assert_int_equal(s.completes, 2);
	http1_next(h);
	assert_int_equal(http1_feed(h, (const uint8_t *)"GET", 3, NULL), 3);
	assert_int_equal(http1_eof(h, NULL), -EPROTO);
	http1_free(h);
}

static void a_callback_that_fails(void **state)
{
	struct seen s = { .refuse_with = -EBUSY };
	static const char get[] = "GET / HTTP/1.1\r\n" HOST "\r\n";

	assert_int_equal(feed(HTTP1_REQUEST, get, strlen(get), 7, &s), -EBUSY);
	assert_int_equal(s.completes, 0);
}

static void what_is_made_is_read(void **state)
{
	struct buf b;
	struct seen s = { 0 };

	buf_init(&b, 4096);
	assert_int_equal(http1_request(&b, "POST", "/v1/a%20b", "{\"a\":1}", 7), 0);
	assert_int_equal(feed(HTTP1_REQUEST, buf_cstr(&b), buf_len(&b), 3, &s), buf_len(&b));
	assert_string_equal(s.head.method, "POST");
	assert_string_equal(s.head.target, "/v1/a%20b");
	assert_string_equal(s.head.content_type, "application/json");
	assert_memory_equal(s.body, "{\"a\":1}", 7);
	buf_consume(&b, buf_len(&b));
	s = (struct seen){ 0 };
	assert_int_equal(http1_response(&b, 409, "application/json", "{}", 2, true), 0);
	assert_int_equal(feed(HTTP1_RESPONSE, buf_cstr(&b), buf_len(&b), 3, &s), buf_len(&b));
	assert_int_equal(s.head.status, 409);
	assert_true(s.head.close);
	buf_consume(&b, buf_len(&b));
	s = (struct seen){ 0 };
	assert_int_equal(http1_response_chunked(&b, 200, "application/x-ndjson", false), 0);
	assert_int_equal(http1_chunk(&b, "{}\n", 3), 0);
	assert_int_equal(http1_chunk(&b, "", 0), 0);
	assert_int_equal(http1_chunk(&b, "{1}\n", 4), 0);
	assert_int_equal(http1_chunk_end(&b), 0);
	assert_int_equal(feed(HTTP1_RESPONSE, buf_cstr(&b), buf_len(&b), 1, &s), buf_len(&b));
	assert_int_equal(s.body_len, 7);
	assert_int_equal(s.completes, 1);
	buf_done(&b);
}

static void what_cannot_be_made(void **state)
{
	struct buf b;

	buf_init(&b, 100);
	assert_int_equal(http1_request(&b, "GET", "/a b", NULL, 0), -EINVAL);
	assert_int_equal(http1_request(&b, "GET", "/a\r\nX: y", NULL, 0), -EINVAL);
	assert_int_equal(http1_request(&b, "GET", "a", NULL, 0), -EINVAL);
	assert_int_equal(http1_request(&b, "", "/", NULL, 0), -EINVAL);
	assert_int_equal(http1_response(&b, 99, NULL, "", 0, false), -EINVAL);
	assert_int_equal(http1_response(&b, 200, "a\r\nb", "", 0, false), -EINVAL);
	/* Whole or not at all. */
	assert_int_equal(buf_append_str(&b, "kept"), 0);
	assert_int_equal(
		http1_response(&b, 200, "application/json", "0123456789012345678901234567890123456789", 40, false),
		-EMSGSIZE);
	assert_int_equal(http1_request(&b, "POST", "/v1/sandboxes", "{}", 2), -EMSGSIZE);
	assert_int_equal(http1_encode(&b, "////////////////////////////////////////"), -EMSGSIZE);
	assert_int_equal(buf_len(&b), 4);
	buf_done(&b);
}

static void percent(void **state)
{
	struct buf b;
	char dst[32];

	buf_init(&b, 100);
	assert_int_equal(http1_encode(&b, "a-b.c_d~e /%\xc3\xa9"), 0);
	assert_string_equal(buf_cstr(&b), "a-b.c_d~e%20%2F%25%C3%A9");
	assert_int_equal(http1_decode(dst, sizeof(dst), buf_cstr(&b), buf_len(&b)), 0);
	assert_string_equal(dst, "a-b.c_d~e /%\xc3\xa9");
	assert_int_equal(http1_decode(dst, sizeof(dst), "%4", 2), -EINVAL);
	assert_int_equal(http1_decode(dst, sizeof(dst), "%zz", 3), -EINVAL);
	assert_int_equal(http1_decode(dst, sizeof(dst), "a%00b", 5), -EINVAL);
	assert_int_equal(http1_decode(dst, 3, "abc", 3), -ENAMETOOLONG);
	buf_done(&b);
}

static void out_of_memory(void **state)
{
	static const char get[] = "GET / HTTP/1.1\r\n" HOST "\r\n";

	for (long n = 0;; n++) {
		struct seen s = { 0 };
		struct http1 *h;
		long r = 0;

		oom_from(n);
		h = http1_new(HTTP1_REQUEST, 10, &ops, &s);
		if (h)
			r = http1_feed(h, (const uint8_t *)get, strlen(get), NULL);
		http1_free(h);
		if (!oom_off())
			break;
		assert_true(!h || r == -ENOMEM);
		assert_int_equal(s.completes, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests),
		cmocka_unit_test(responses),
		cmocka_unit_test(ambiguous_requests),
		cmocka_unit_test(ambiguous_responses),
		cmocka_unit_test(a_nul_byte),
		cmocka_unit_test(bounds),
		cmocka_unit_test(one_message_after_another),
		cmocka_unit_test(a_callback_that_fails),
		cmocka_unit_test(what_is_made_is_read),
		cmocka_unit_test(what_cannot_be_made),
		cmocka_unit_test(percent),
		cmocka_unit_test(out_of_memory),
	};

	return cmocka_run_group_tests_name("http1", tests, NULL, NULL);
}
