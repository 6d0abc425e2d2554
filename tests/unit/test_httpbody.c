/* SPDX-License-Identifier: Apache-2.0
 *
 * Bodies of HTTP/1: where each ends, whole and byte by byte; what is no chunk is refused at the byte that says so.
 */
#include "wire/httpbody.h"

#include <errno.h>

#include "unit.h"

/* The decoded bytes in out; the bytes taken, -1 where more is wanted, or -EPROTO. */
static long decode(enum httpmsg_body kind, uint64_t length, const char *text, size_t n, size_t step, struct buf *out)
{
	struct httpbody b;
	size_t at = 0;

	httpbody_init(&b, kind, length);
	buf_consume(out, buf_len(out));
	while (at < n && !b.done) {
		struct httpbody_piece piece;
		size_t give = n - at < step ? n - at : step;
		long r = httpbody_feed(&b, text + at, give, &piece);

		if (r < 0)
			return r;
		assert_true(r > 0 && (size_t)r <= give);
		assert_true(piece.bytes >= (const uint8_t *)text + at &&
			    piece.bytes + piece.n <= (const uint8_t *)text + at + r);
		assert_int_equal(buf_append(out, piece.bytes, piece.n), 0);
		at += (size_t)r;
	}
	assert_int_equal(b.total, buf_len(out));
	return b.done ? (long)at : -1;
}

static void chunked(const char *text, size_t n, long taken, const char *body)
{
	struct buf out;

	buf_init(&out, 100000);
	for (size_t step = 1; step <= n; step = step * 2 + 1) {
		long r = decode(HTTPMSG_BODY_CHUNKED, 0, text, n, step, &out);

		if (r != taken)
			fail_msg("%ld instead of %ld for: %s", r, taken, text);
		if (body)
			assert_string_equal(buf_cstr(&out), body);
	}
	buf_done(&out);
}
#define CHUNKED(text, left, body) chunked(text, sizeof(text) - 1, (long)sizeof(text) - 1 - (left), body)
#define BAD(text) chunked(text, sizeof(text) - 1, -EPROTO, NULL)
#define MORE(text, body) chunked(text, sizeof(text) - 1, -1, body)

static void chunks(void **state)
{
	CHUNKED("1\r\nZ\r\n0\r\n\r\n", 0, "Z");
	CHUNKED("0\r\n\r\nGET /", 5, "");
	CHUNKED("a\r\n0123456789\r\n0A\r\nABCDEFGHIJ\r\n000\r\n\r\n", 0, "0123456789ABCDEFGHIJ");
	CHUNKED("1;a=\"b\";c\r\nZ\r\n0;x\r\n\r\n", 0, "Z");
	/* F12: trailers are read and dropped. */
	CHUNKED("1\r\nZ\r\n0\r\nAuthorization: evil\r\nHost:x\r\n\r\n", 0, "Z");
	MORE("1\r\nZ\r\n0\r\n", "Z");
	MORE("5\r\nab", "ab");
	MORE("1\r\nZ\r\n0\r\nA: b\r\n", "Z");
	MORE("000000000000000f", "");
}

/* F07, F09-F11 */
static void no_chunks(void **state)
{
	BAD("0x1\r\nZ\r\n0\r\n\r\n"), BAD("+1\r\nZ\r\n"), BAD("-1\r\n"), BAD(" 1\r\n"), BAD("1 \r\n"), BAD("\r\n");
	BAD("1 ;a\r\n"), BAD("1\t\r\n"), BAD("g\r\n"), BAD(";a\r\n"), BAD("1_0\r\n"), BAD("\xef\xbc\x91\r\n");
	BAD("00000000000000001\r\n"), BAD("8000000000000000\r\n"), BAD("ffffffffffffffff\r\n"), BAD("10000000000000001\r\n");
	BAD("1\nZ\n0\n\n"), BAD("1\r\nZ\n"), BAD("1\r\nZ0\r\n\r\n"), BAD("1\r\nZZ\r\n0\r\n\r\n"), BAD("1\r\nZ\r0"), BAD("1\rZ");
	BAD("1;a\nZ\r\n"), BAD("1;a\r\r\n"), BAD("1;\0\r\n"), BAD("1;\x7f\r\n"), BAD("1;\x0b\r\n");
	BAD("0\r\n\n"), BAD("0\r\n\rX"), BAD("0\r\nA: b\n"), BAD("0\r\n: b\r\n"), BAD("0\r\nA b: c\r\n"), BAD("0\r\nA\r\n");
	BAD("0\r\nA: b\r\n c\r\n"), BAD("0\r\nA : b\r\n"), BAD("0\r\nA: \0\r\n"), BAD("0\r\nA: b\rc\r\n"), BAD("0\n\r\n");
}

/* Extensions and trailers are bounded over the whole body. */
static void extras_are_bounded(void **state)
{
	struct buf text, out;

	buf_init(&text, 1 << 20);
	buf_init(&out, 1 << 20);
	for (int i = 0; i < HTTPBODY_EXTRA_MAX / 4; i++)
		assert_int_equal(buf_append_str(&text, "1;abcd\r\nZ\r\n"), 0);
	assert_int_equal(decode(HTTPMSG_BODY_CHUNKED, 0, buf_cstr(&text), buf_len(&text), 1000, &out), -1);
	assert_int_equal(buf_append_str(&text, "1;a\r\n"), 0);
	assert_int_equal(decode(HTTPMSG_BODY_CHUNKED, 0, buf_cstr(&text), buf_len(&text), 1000, &out), -EPROTO);
	buf_consume(&text, buf_len(&text));
	assert_int_equal(buf_append_str(&text, "0\r\n"), 0);
	for (int i = 0; i < HTTPBODY_TRAILERS_MAX; i++)
		assert_int_equal(buf_append_str(&text, "A:\r\n"), 0);
	assert_int_equal(decode(HTTPMSG_BODY_CHUNKED, 0, buf_cstr(&text), buf_len(&text), 1000, &out), -1);
	assert_int_equal(buf_append_str(&text, "A:\r\n"), 0);
	assert_int_equal(decode(HTTPMSG_BODY_CHUNKED, 0, buf_cstr(&text), buf_len(&text), 1000, &out), -EPROTO);
	buf_done(&text);
	buf_done(&out);
}

static void lengths_and_ends(void **state)
{
	struct httpbody_piece piece;
	struct httpbody b;
	struct buf out;

	buf_init(&out, 1000);
	assert_int_equal(decode(HTTPMSG_BODY_LENGTH, 4, "bodyGET", 7, 3, &out), 4);
	assert_string_equal(buf_cstr(&out), "body");
	assert_int_equal(decode(HTTPMSG_BODY_LENGTH, 9, "body", 4, 4, &out), -1);
	assert_int_equal(decode(HTTPMSG_BODY_LENGTH, 0, "GET", 3, 3, &out), 0);
	assert_int_equal(decode(HTTPMSG_BODY_NONE, 7, "GET", 3, 3, &out), 0);
	assert_int_equal(decode(HTTPMSG_BODY_EOF, 0, "body", 4, 1, &out), -1);
	assert_string_equal(buf_cstr(&out), "body");

	httpbody_init(&b, HTTPMSG_BODY_EOF, 0);
	assert_int_equal(httpbody_eof(&b), 0);
	assert_true(b.done);
	httpbody_init(&b, HTTPMSG_BODY_LENGTH, 2);
	assert_int_equal(httpbody_feed(&b, "a", 1, &piece), 1);
	assert_int_equal(httpbody_eof(&b), -EPROTO);
	assert_int_equal(httpbody_feed(&b, "b", 1, &piece), 1);
	assert_int_equal(httpbody_eof(&b), 0);
	httpbody_init(&b, HTTPMSG_BODY_CHUNKED, 0);
	assert_int_equal(httpbody_feed(&b, "0\r\n", 3, &piece), 3);
	assert_int_equal(httpbody_eof(&b), -EPROTO);
	buf_done(&out);
}

static void writing(void **state)
{
	struct httpbody_writer w;
	struct buf out, back;
	static char big[70000];

	buf_init(&out, 100000);
	buf_init(&back, 100000);
	httpbody_writer_init(&w, HTTPMSG_BODY_CHUNKED, 0);
	assert_int_equal(httpbody_write(&w, &out, "Z", 1), 0);
	assert_int_equal(httpbody_write(&w, &out, "", 0), 0);
	assert_int_equal(httpbody_write(&w, &out, "0123456789abcdef", 16), 0);
	assert_true(buf_len(&out) <= httpbody_framed(&w, 1) + httpbody_framed(&w, 16));
	assert_int_equal(httpbody_finish(&w, &out), 0);
	assert_string_equal(buf_cstr(&out), "1\r\nZ\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n");
	buf_consume(&out, buf_len(&out));
	memset(big, 'x', sizeof(big));
	assert_int_equal(httpbody_write(&w, &out, big, sizeof(big)), 0);
	assert_int_equal(httpbody_write(&w, &out, big, sizeof(big)), -EMSGSIZE);
	assert_int_equal(httpbody_finish(&w, &out), 0);
	assert_int_equal(decode(HTTPMSG_BODY_CHUNKED, 0, buf_cstr(&out), buf_len(&out), 999, &back), buf_len(&out));
	assert_int_equal(buf_len(&back), sizeof(big));
	assert_memory_equal(buf_bytes(&back), big, sizeof(big));

	buf_consume(&out, buf_len(&out));
	httpbody_writer_init(&w, HTTPMSG_BODY_LENGTH, 3);
	assert_int_equal(httpbody_write(&w, &out, "ab", 2), 0);
	assert_int_equal(httpbody_finish(&w, &out), -EPROTO);
	assert_int_equal(httpbody_write(&w, &out, "cd", 2), -EPROTO);
	assert_int_equal(httpbody_write(&w, &out, "c", 1), 0);
	assert_int_equal(httpbody_finish(&w, &out), 0);
	assert_string_equal(buf_cstr(&out), "abc");
	httpbody_writer_init(&w, HTTPMSG_BODY_NONE, 3);
	assert_int_equal(httpbody_write(&w, &out, "x", 1), -EPROTO);
	assert_int_equal(httpbody_finish(&w, &out), 0);
	httpbody_writer_init(&w, HTTPMSG_BODY_EOF, 0);
	assert_int_equal(httpbody_write(&w, &out, "d", 1), 0);
	assert_int_equal(httpbody_finish(&w, &out), 0);
	assert_string_equal(buf_cstr(&out), "abcd");
	buf_done(&out);
	buf_done(&back);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunks),
		cmocka_unit_test(no_chunks),
		cmocka_unit_test(extras_are_bounded),
		cmocka_unit_test(lengths_and_ends),
		cmocka_unit_test(writing),
	};

	return cmocka_run_group_tests_name("httpbody", tests, NULL, NULL);
}
