/* SPDX-License-Identifier: Apache-2.0
 *
 * ClientHello: names, protocols, hidden names; every length wrong by one; records cut anywhere.
 */
#include "wire/clienthello.h"

#include "base/buf.h"
#include "base/own.h"
#include "unit.h"

static struct buf msg, ext, wire;
static struct clienthello *ch;

static void put8(struct buf *b, size_t v)
{
	uint8_t x = (uint8_t)v;

	assert_int_equal(buf_append(b, &x, 1), 0);
}

static void put16(struct buf *b, size_t v)
{
	put8(b, v >> 8);
	put8(b, v & 0xff);
}

static void put_ext(size_t type, const void *data, size_t n)
{
	put16(&ext, type);
	put16(&ext, n);
	assert_int_equal(buf_append(&ext, data, n), 0);
}

/* A server_name extension of one host_name. */
static void put_name(const void *name, size_t n)
{
	put16(&ext, 0);
	put16(&ext, n + 5);
	put16(&ext, n + 3);
	put8(&ext, 0);
	put16(&ext, n);
	assert_int_equal(buf_append(&ext, name, n), 0);
}

static void clear(struct buf *b)
{
	buf_consume(b, buf_len(b));
}

/* The message from ext, in msg. */
static void build_message(uint16_t version, int compression, bool extensions)
{
	static const uint8_t random[32] = { 7 };
	size_t n = 2 + 32 + 1 + 4 + 2 + (extensions ? 2 + buf_len(&ext) : 0);

	clear(&msg);
	put8(&msg, 1);
	put8(&msg, n >> 16);
	put16(&msg, n & 0xffff);
	put16(&msg, version);
	assert_int_equal(buf_append(&msg, random, sizeof(random)), 0);
	put8(&msg, 0);
	put16(&msg, 2);
	put16(&msg, 0x1301);
	put8(&msg, 1);
	put8(&msg, (size_t)compression);
	if (extensions) {
		put16(&msg, buf_len(&ext));
		assert_int_equal(buf_append(&msg, buf_bytes(&ext), buf_len(&ext)), 0);
	}
}

/* The message in records of at most `piece` bytes, in wire. */
static void build_records(size_t piece)
{
	const uint8_t *p = buf_bytes(&msg);
	size_t left = buf_len(&msg);

	clear(&wire);
	while (left > 0) {
		size_t n = left < piece ? left : piece;

		put8(&wire, 22);
		put16(&wire, 0x0301);
		put16(&wire, n);
		assert_int_equal(buf_append(&wire, p, n), 0);
		p += n;
		left -= n;
	}
}

static enum clienthello_result feed_all(void)
{
	memset(ch, 0, sizeof(*ch));
	return clienthello_feed(ch, buf_bytes(&wire), buf_len(&wire));
}

static enum clienthello_result run(void)
{
	build_message(0x0303, 0, true);
	build_records(16384);
	clear(&ext);
	return feed_all();
}

static int setup(void **state)
{
	buf_init(&msg, 1U << 20);
	buf_init(&ext, 1U << 20);
	buf_init(&wire, 1U << 20);
	ch = calloc(1, sizeof(*ch));
	return ch ? 0 : -1;
}

static int teardown(void **state)
{
	buf_done(&msg);
	buf_done(&ext);
	buf_done(&wire);
	free(ch);
	return 0;
}

static void put_usual(void)
{
	static const uint8_t alpn[] = { 0, 12, 2, 'h', '2', 8, 'h', 't', 't', 'p', '/', '1', '.', '1' };
	static const uint8_t versions[] = { 6, 0x7a, 0x7a, 3, 4, 3, 3 };

	put_ext(0x1a1a, "", 0);
	put_name("OK.test", 7);
	put_ext(16, alpn, sizeof(alpn));
	put_ext(43, versions, sizeof(versions));
	put_ext(21, "\0\0\0\0", 4);
}

static void assert_usual(void)
{
	const uint8_t *p;
	size_t n;

	assert_true(ch->has_sni);
	assert_string_equal(ch->sni, "ok.test");
	assert_true(ch->has_alpn && ch->alpn_h2 && ch->alpn_http11);
	assert_int_equal(ch->alpn_count, 2);
	p = clienthello_alpn(ch, 0, &n);
	assert_int_equal(n, 2);
	assert_memory_equal(p, "h2", 2);
	p = clienthello_alpn(ch, 1, &n);
	assert_int_equal(n, 8);
	assert_memory_equal(p, "http/1.1", 8);
	assert_int_equal(ch->max_version, 0x0304);
	assert_true(ch->tls12 && ch->tls13);
	assert_false(ch->ech || ch->early_data);
}

static void what_a_client_says(void **state)
{
	put_usual();
	assert_int_equal(run(), CLIENTHELLO_OK);
	assert_usual();
	assert_int_equal(ch->taken, buf_len(&wire));
}

/* However records and reads cut it, the answer is the same, and only the whole of it gives one. */
static void cut_anywhere(void **state)
{
	static const size_t pieces[] = { 1, 2, 3, 4, 5, 7, 64, 16384 };

	put_usual();
	build_message(0x0303, 0, true);
	clear(&ext);
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		build_records(pieces[i]);
		for (size_t step = 1; step <= 11; step += 5) {
			memset(ch, 0, sizeof(*ch));
			for (size_t at = 0; at < buf_len(&wire); at += step) {
				size_t n = buf_len(&wire) - at < step ? buf_len(&wire) - at : step;
				enum clienthello_result r = clienthello_feed(ch, buf_bytes(&wire) + at, n);

				assert_int_equal(r, at + n < buf_len(&wire) ? CLIENTHELLO_MORE : CLIENTHELLO_OK);
			}
			assert_usual();
		}
	}
}

static void what_follows_is_left_alone(void **state)
{
	size_t n;

	put_usual();
	assert_int_equal(run(), CLIENTHELLO_OK);
	n = buf_len(&wire);
	assert_int_equal(buf_append(&wire, "\x14\x03\x03\x00\x01\x01", 6), 0);
	assert_int_equal(feed_all(), CLIENTHELLO_OK);
	assert_int_equal(ch->taken, n);
	assert_int_equal(clienthello_feed(ch, (const uint8_t *)"\x17", 1), CLIENTHELLO_OK);
	assert_int_equal(ch->taken, n);
}

static void server_names(void **state)
{
	static const struct {
		const char *name;
		size_t n;
		const char *sni; /* NULL: unrecognized_name */
	} cases[] = {
		{ "ok.test", 7, "ok.test" },
		{ "OK.TEST", 7, "ok.test" },
		{ "ok.test.", 8, "ok.test" },
		{ "localhost", 9, "localhost" },
		{ "93.184.216.10", 13, NULL },
		{ "[::1]", 5, NULL },
		{ "::1", 3, NULL },
		{ "ok.test\0", 8, NULL },
		{ "a\0.test", 7, NULL },
		{ "b\xc3\xbc.test", 8, NULL },
		{ "ok.test:443", 11, NULL },
		{ "*.test", 6, NULL },
		{ ".", 1, NULL },
		{ "127.1", 5, NULL },
	};
	char longest[300];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		put_name(cases[i].name, cases[i].n);
		assert_int_equal(run(), cases[i].sni ? CLIENTHELLO_OK : CLIENTHELLO_BAD);
		if (cases[i].sni)
			assert_string_equal(ch->sni, cases[i].sni);
		else
			assert_int_equal(ch->alert, CLIENTHELLO_ALERT_UNRECOGNIZED_NAME);
	}
	for (size_t i = 0; i < sizeof(longest); i++)
		longest[i] = i % 50 == 49 ? '.' : 'a';
	put_name(longest, 253);
	assert_int_equal(run(), CLIENTHELLO_OK);
	assert_int_equal(strlen(ch->sni), 253);
	for (size_t n = 255; n < 258; n++) {
		put_name(longest, n);
		assert_int_equal(run(), CLIENTHELLO_BAD);
	}
	put_ext(21, "", 0);
	assert_int_equal(run(), CLIENTHELLO_OK);
	assert_false(ch->has_sni);
}

struct extension_case {
	const char *bytes;
	size_t n;
};
#define EXT(s) { s, sizeof(s) - 1 }

static void malformed_server_names(void **state)
{
	static const struct extension_case cases[] = {
		EXT(""),
		EXT("\0"),
		EXT("\0\0"),
		EXT("\0\3\0\0\0"),
		EXT("\0\4\0\0\1"),
		EXT("\0\4\0\0\2a"),
		EXT("\0\5\0\0\1a"),
		EXT("\0\3\0\0\1a"),
		EXT("\0\4\0\0\1ab"),
		EXT("\0\4\1\0\1a"),             /* name_type 1 */
		EXT("\0\4\xff\0\1a"),
		EXT("\0\x08\0\0\1a\0\0\1b"),    /* two names */
		EXT("\0\x08\0\0\1a\1\0\1b"),    /* and one of another type */
		EXT("\0\x08\1\0\1b\0\0\1a"),
		EXT("\0\4\0\xff\xff" "a"),
		EXT("\xff\xff\0\0\1a"),
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		put_ext(0, cases[i].bytes, cases[i].n);
		assert_int_equal(run(), CLIENTHELLO_BAD);
		assert_int_equal(ch->alert, CLIENTHELLO_ALERT_DECODE_ERROR);
		assert_non_null(ch->reason);
	}
}

static void malformed_extensions(void **state)
{
	static const struct {
		size_t type;
		struct extension_case ext;
	} cases[] = {
		{ 16, EXT("") },
		{ 16, EXT("\0\0") },
		{ 16, EXT("\0\1\0") },
		{ 16, EXT("\0\2\0\0") },       /* an empty protocol */
		{ 16, EXT("\0\2\2h") },
		{ 16, EXT("\0\3\2h2x") },
		{ 16, EXT("\0\4\2h2") },
		{ 43, EXT("") },
		{ 43, EXT("\0") },
		{ 43, EXT("\1\3") },
		{ 43, EXT("\3\3\4\3") },
		{ 43, EXT("\2\3\4\0") },
		{ 43, EXT("\4\3\4") },
		{ 42, EXT("\0") },
		{ 0xfd00, EXT("") },
		{ 0xfe0d, EXT("") },
		{ 0xfe0d, EXT("\2") },
		{ 0xfe0d, EXT("\1\0") },
		{ 0xfe0d, EXT("\0\0\1\0\1\7\0\0\0\0") }, /* no payload */
		{ 0xfe0d, EXT("\0\0\1\0\1\7\0\0\0\2x") },
		{ 0xfe0d, EXT("\0\0\1\0\1\7\0\0\0\1xy") },
		{ 0xfe0d, EXT("\0\0\1\0\1\7\0\2e\0\1x") },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		put_ext(cases[i].type, cases[i].ext.bytes, cases[i].ext.n);
		assert_int_equal(run(), CLIENTHELLO_BAD);
	}
}

static void hidden_names_show(void **state)
{
	static const struct {
		size_t type;
		struct extension_case ext;
		bool ech, inner;
	} cases[] = {
		{ 0xfe0d, EXT("\0\0\1\0\1\7\0\1e\0\1x"), true, false },
		{ 0xfe0d, EXT("\0\0\1\0\1\7\0\0\0\1x"), true, false },
		{ 0xfe0d, EXT("\1"), true, true },
		{ 0xffce, EXT("anything"), true, false },
		{ 0xfe08, EXT(""), true, false },
		{ 0xfe0c, EXT("x"), true, false },
		{ 0xfe07, EXT("x"), false, false },
		{ 0xfe0e, EXT("x"), false, false },
		{ 0xff01, EXT("\0"), false, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		put_name("ok.test", 7);
		put_ext(cases[i].type, cases[i].ext.bytes, cases[i].ext.n);
		assert_int_equal(run(), CLIENTHELLO_OK);
		assert_int_equal(ch->ech, cases[i].ech);
		assert_int_equal(ch->ech_inner, cases[i].inner);
	}
}

static void extensions_come_once(void **state)
{
	put_name("ok.test", 7);
	put_name("ok.test", 7);
	assert_int_equal(run(), CLIENTHELLO_BAD);
	assert_int_equal(ch->alert, CLIENTHELLO_ALERT_ILLEGAL_PARAMETER);
	put_ext(0x1234, "", 0);
	put_name("ok.test", 7);
	put_ext(0x1234, "x", 1);
	assert_int_equal(run(), CLIENTHELLO_BAD);
	for (size_t i = 0; i < CLIENTHELLO_EXTENSIONS_MAX; i++)
		put_ext(0x4000 + i, "", 0);
	assert_int_equal(run(), CLIENTHELLO_OK);
	for (size_t i = 0; i <= CLIENTHELLO_EXTENSIONS_MAX; i++)
		put_ext(0x4000 + i, "", 0);
	assert_int_equal(run(), CLIENTHELLO_BAD);
}

static void order_and_overrun(void **state)
{
	put_ext(41, "psk", 3);
	put_name("ok.test", 7);
	assert_int_equal(run(), CLIENTHELLO_BAD);
	put_name("ok.test", 7);
	put_ext(42, "", 0);
	put_ext(41, "psk", 3);
	assert_int_equal(run(), CLIENTHELLO_OK);
	assert_true(ch->early_data);
	put16(&ext, 0x1234);
	assert_int_equal(run(), CLIENTHELLO_BAD);
	put16(&ext, 0x1234);
	put16(&ext, 2);
	put8(&ext, 0);
	assert_int_equal(run(), CLIENTHELLO_BAD);
}

static void alpn_is_bounded(void **state)
{
	for (size_t count = CLIENTHELLO_ALPN_MAX; count <= CLIENTHELLO_ALPN_MAX + 1; count++) {
		put16(&ext, 16);
		put16(&ext, 2 + 2 * count);
		put16(&ext, 2 * count);
		for (size_t i = 0; i < count; i++)
			put16(&ext, 0x0178);
		assert_int_equal(run(), count > CLIENTHELLO_ALPN_MAX ? CLIENTHELLO_BAD : CLIENTHELLO_OK);
	}
	assert_false(ch->alpn_h2);
}

static void versions(void **state)
{
	static const struct {
		uint16_t legacy;
		const char *list;
		size_t n;
		uint16_t max;
		bool tls12, tls13;
	} cases[] = {
		{ 0x0303, NULL, 0, 0x0303, true, false },
		{ 0x0304, NULL, 0, 0x0303, true, false }, /* RFC 8446 D.4: the field cannot offer more */
		{ 0x03ff, NULL, 0, 0x0303, true, false },
		{ 0x0302, NULL, 0, 0x0302, false, false },
		{ 0x0301, NULL, 0, 0x0301, false, false },
		{ 0x0303, "\2\3\4", 3, 0x0304, false, true },
		{ 0x0303, "\2\3\2", 3, 0x0302, false, false },
		{ 0x0303, "\4\x0a\x0a\x7f\x1c", 5, 0, false, false },
		{ 0x0303, "\4\3\3\3\4", 5, 0x0304, true, true },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (cases[i].list)
			put_ext(43, cases[i].list, cases[i].n);
		build_message(cases[i].legacy, 0, true);
		build_records(16384);
		clear(&ext);
		assert_int_equal(feed_all(), CLIENTHELLO_OK);
		assert_int_equal(ch->max_version, cases[i].max);
		assert_int_equal(ch->tls12, cases[i].tls12);
		assert_int_equal(ch->tls13, cases[i].tls13);
	}
	build_message(0x0300, 0, true);
	build_records(16384);
	assert_int_equal(feed_all(), CLIENTHELLO_BAD);
	assert_int_equal(ch->alert, CLIENTHELLO_ALERT_PROTOCOL_VERSION);
	build_message(0x0403, 0, true);
	build_records(16384);
	assert_int_equal(feed_all(), CLIENTHELLO_BAD);
}

static void without_extensions(void **state)
{
	build_message(0x0303, 0, false);
	build_records(16384);
	assert_int_equal(feed_all(), CLIENTHELLO_OK);
	assert_false(ch->has_sni || ch->has_alpn);
	build_message(0x0303, 1, false);
	build_records(16384);
	assert_int_equal(feed_all(), CLIENTHELLO_BAD);
}

/* Any length in the message that is one too many or one too few is noticed. */
static void lengths_must_be_exact(void **state)
{
	static const size_t at[] = { 3, 38, 40, 43, 46 }; /* message, session, suites, compression, extensions */
	size_t n;

	put_usual();
	build_message(0x0303, 0, true);
	clear(&ext);
	n = buf_len(&msg);
	for (size_t i = 0; i < ARRAY_LEN(at); i++)
		for (int d = -1; d <= 1; d += 2) {
			uint8_t *p = msg.data + msg.head + at[i];

			*p = (uint8_t)(*p + d);
			build_records(16384);
			assert_int_equal(buf_len(&msg), n);
			assert_int_equal(feed_all(), i == 0 && d > 0 ? CLIENTHELLO_MORE : CLIENTHELLO_BAD);
			*p = (uint8_t)(*p - d);
		}
	build_records(16384);
	assert_int_equal(feed_all(), CLIENTHELLO_OK);
}

static void what_is_no_tls(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		enum clienthello_result r;
	} cases[] = {
		{ "", 0, CLIENTHELLO_MORE },
		{ "\x16", 1, CLIENTHELLO_MORE },
		{ "\x16\x03", 2, CLIENTHELLO_MORE },
		{ "\x16\x03\x01", 3, CLIENTHELLO_MORE },
		{ "G", 1, CLIENTHELLO_NOT_TLS },
		{ "GET / HTTP/1.1\r\n", 16, CLIENTHELLO_NOT_TLS },
		{ "SSH-2.0-x\r\n", 11, CLIENTHELLO_NOT_TLS },
		{ "\x80\x2e\x01\x03\x01", 5, CLIENTHELLO_NOT_TLS },  /* SSL 2 */
		{ "\x17\x03\x03\x00\x01\x00", 6, CLIENTHELLO_NOT_TLS },
		{ "\x15\x03\x03\x00\x02\x01\x00", 7, CLIENTHELLO_NOT_TLS },
		{ "\x16\x02", 2, CLIENTHELLO_NOT_TLS },
		{ "\x16\xfe\xff", 3, CLIENTHELLO_NOT_TLS },          /* DTLS */
		{ "\x16\x03\x09\x00\x05", 5, CLIENTHELLO_BAD },
		{ "\x16\x03\x01\x00\x00", 5, CLIENTHELLO_BAD },      /* an empty record */
		{ "\x16\x03\x01\x40\x01", 5, CLIENTHELLO_BAD },      /* past 2^14 */
		{ "\x16\x03\x01\x00\x05\x02", 6, CLIENTHELLO_BAD },  /* a ServerHello */
		{ "\x16\x03\x01\x00\x05\x00", 6, CLIENTHELLO_BAD },  /* HelloRequest */
		{ "\x16\x03\x01\x00\x05\x01\x01\x00\x00", 9, CLIENTHELLO_BAD }, /* 64 KiB are announced */
		{ "\x16\x03\x01\x00\x04\x01\x00\x00\x00", 9, CLIENTHELLO_BAD }, /* nothing in it */
		{ "\x16\x03\x01\x00\x01\x01\x17\x03", 8, CLIENTHELLO_BAD },     /* another record in the middle */
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		enum clienthello_result r;

		memset(ch, 0, sizeof(*ch));
		r = clienthello_feed(ch, (const uint8_t *)cases[i].bytes, cases[i].n);
		assert_int_equal(r, cases[i].r);
		if (r == CLIENTHELLO_MORE)
			continue;
		assert_non_null(ch->reason);
		/* It stays with its answer. */
		assert_int_equal(clienthello_feed(ch, (const uint8_t *)"\x16\x03\x01", 3), r);
	}
}

static void more_in_the_record(void **state)
{
	put_name("ok.test", 7);
	build_message(0x0303, 0, true);
	put8(&msg, 0);
	build_records(16384);
	assert_int_equal(feed_all(), CLIENTHELLO_BAD);
	assert_int_equal(ch->alert, CLIENTHELLO_ALERT_UNEXPECTED_MESSAGE);
	clear(&ext);
}

static void length_is_bounded(void **state)
{
	static uint8_t padding[20000];
	size_t fixed, room = CLIENTHELLO_MAX - 5;

	put_name("ok.test", 7);
	put_ext(21, padding, 0);
	build_message(0x0303, 0, true);
	fixed = buf_len(&msg);
	clear(&ext);
	for (size_t over = 0; over <= 1; over++) {
		put_name("ok.test", 7);
		put_ext(21, padding, room - fixed + over);
		assert_int_equal(run(), over ? CLIENTHELLO_BAD : CLIENTHELLO_OK);
	}
	assert_true(ch->taken < 16);
	/* The bytes of many small records count too. */
	put_name("ok.test", 7);
	put_ext(21, padding, 4000);
	build_message(0x0303, 0, true);
	clear(&ext);
	build_records(1);
	assert_int_equal(feed_all(), CLIENTHELLO_BAD);
	assert_true(ch->taken <= CLIENTHELLO_MAX + 1);
	build_records(4);
	assert_int_equal(feed_all(), CLIENTHELLO_OK);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_client_says),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(what_follows_is_left_alone),
		cmocka_unit_test(server_names),
		cmocka_unit_test(malformed_server_names),
		cmocka_unit_test(malformed_extensions),
		cmocka_unit_test(hidden_names_show),
		cmocka_unit_test(extensions_come_once),
		cmocka_unit_test(order_and_overrun),
		cmocka_unit_test(alpn_is_bounded),
		cmocka_unit_test(versions),
		cmocka_unit_test(without_extensions),
		cmocka_unit_test(lengths_must_be_exact),
		cmocka_unit_test(what_is_no_tls),
		cmocka_unit_test(more_in_the_record),
		cmocka_unit_test(length_is_bounded),
	};

	return cmocka_run_group_tests_name("clienthello", tests, setup, teardown);
}
