/* SPDX-License-Identifier: Apache-2.0
 *
 * Session records: what each type allows, hostile lengths, records that arrive in pieces.
 */
#include "wire/record.h"

#include <errno.h>

#include "base/own.h"
#include "oom.h"
#include "unit.h"

static const struct {
	enum record_type type;
	size_t min, max;
	int from_guest;
} types[] = {
	{ RECORD_REQUEST, 0, RECORD_MAX, 0 },   { RECORD_REPLY, 0, RECORD_MAX, 0 },  { RECORD_EVENT, 0, RECORD_MAX, 0 },
	{ RECORD_START, 0, RECORD_MAX, 0 },     { RECORD_STDIN, 0, RECORD_MAX, 0 },  { RECORD_STDIN_EOF, 0, 0, 0 },
	{ RECORD_RESIZE, 4, 4, 0 },             { RECORD_SIGNAL, 1, 1, 0 },          { RECORD_STARTED, 4, 4, 1 },
	{ RECORD_STDOUT, 0, RECORD_MAX, 1 },    { RECORD_STDERR, 0, RECORD_MAX, 1 }, { RECORD_EXIT, 2, 2, 1 },
	{ RECORD_FAILED, 0, RECORD_MAX, 1 },
};

static uint8_t payload[RECORD_MAX + 1];

static void every_type_goes_both_ways(void **state)
{
	struct buf b;

	buf_init(&b, 2 * (RECORD_HEAD + RECORD_MAX));
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 7);
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		const size_t lens[] = { types[i].min, types[i].max };

		for (size_t k = 0; k < ARRAY_LEN(lens); k++) {
			struct record rec = { 0 };

			assert_int_equal(record_encode(&b, types[i].type, payload, lens[k]), 0);
			assert_int_equal(record_decode(buf_bytes(&b), buf_len(&b), &rec), RECORD_HEAD + lens[k]);
			assert_int_equal(rec.type, types[i].type);
			assert_int_equal(rec.len, lens[k]);
			assert_memory_equal(rec.data, payload, lens[k]);
			buf_consume(&b, buf_len(&b));
		}
	}
	buf_done(&b);
}

static void lengths_that_a_type_does_not_allow(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		for (size_t len = 0; len <= RECORD_MAX + 1; len += len < 8 ? 1 : RECORD_MAX - 7) {
			uint8_t head[RECORD_HEAD] = { (uint8_t)types[i].type, (uint8_t)(len >> 16), (uint8_t)(len >> 8),
						      (uint8_t)len };
			bool good = len >= types[i].min && len <= types[i].max;
			struct record rec = { .type = RECORD_EXIT, .len = 99 };
			int r = record_decode(head, sizeof(head), &rec);

			assert_int_equal(r, !good ? -EPROTO : len == 0 ? RECORD_HEAD : 0);
			if (r <= 0)
				assert_int_equal(rec.len, 99);
		}
}

static void longest_length_is_refused_before_its_bytes(void **state)
{
	static const uint8_t head[RECORD_HEAD] = { RECORD_STDOUT, 0xff, 0xff, 0xff };
	struct record rec;

	assert_int_equal(record_decode(head, sizeof(head), &rec), -EPROTO);
}

static void unknown_types_are_refused_at_the_first_byte(void **state)
{
	for (int type = 0; type < 256; type++) {
		uint8_t byte = (uint8_t)type;
		bool known = false;
		struct record rec;

		for (size_t i = 0; i < ARRAY_LEN(types); i++)
			known = known || (int)types[i].type == type;
		assert_int_equal(record_decode(&byte, 1, &rec), known ? 0 : -EPROTO);
	}
}

static void pieces_need_more(void **state)
{
	struct record rec = { 0 };
	struct buf b;

	buf_init(&b, 100);
	assert_int_equal(record_encode(&b, RECORD_STDOUT, "hello", 5), 0);
	assert_int_equal(record_encode(&b, RECORD_STDERR, "x", 1), 0);
	for (size_t n = 0; n < RECORD_HEAD + 5; n++) {
		/* An allocation of exactly n bytes, for the sanitizer. */
		auto_free uint8_t *part = malloc(n ? n : 1);

		memcpy(part, buf_bytes(&b), n);
		assert_int_equal(record_decode(part, n, &rec), 0);
	}
	assert_int_equal(record_decode(buf_bytes(&b), buf_len(&b), &rec), RECORD_HEAD + 5);
	buf_consume(&b, RECORD_HEAD + 5);
	assert_int_equal(record_decode(buf_bytes(&b), buf_len(&b), &rec), RECORD_HEAD + 1);
	assert_int_equal(rec.type, RECORD_STDERR);
	buf_done(&b);
}

static void encode_is_bounded_and_whole_or_nothing(void **state)
{
	struct buf b;

	buf_init(&b, 1U << 20);
	assert_int_equal(record_encode(&b, RECORD_STDOUT, payload, RECORD_MAX + 1), -EMSGSIZE);
	assert_int_equal(buf_len(&b), 0);
	buf_done(&b);
	buf_init(&b, RECORD_HEAD + 4);
	assert_int_equal(record_encode(&b, RECORD_STDOUT, "12345", 5), -EMSGSIZE);
	assert_int_equal(buf_len(&b), 0);
	assert_int_equal(record_encode(&b, RECORD_STDOUT, "1234", 4), 0);
	assert_int_equal(record_encode(&b, RECORD_STDIN_EOF, NULL, 0), -EMSGSIZE);
	assert_int_equal(buf_len(&b), RECORD_HEAD + 4);
	buf_done(&b);
}

static void only_a_guest_says_what_a_guest_says(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		assert_int_equal(!!record_from_guest(types[i].type), types[i].from_guest);
}

static void without_memory(void **state)
{
	struct buf b;

	buf_init(&b, 1U << 20);
	oom_from(0);
	assert_true(record_encode(&b, RECORD_STDOUT, "x", 1) < 0);
	assert_true(oom_off());
	assert_int_equal(buf_len(&b), 0);
	buf_done(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_goes_both_ways),
		cmocka_unit_test(lengths_that_a_type_does_not_allow),
		cmocka_unit_test(longest_length_is_refused_before_its_bytes),
		cmocka_unit_test(unknown_types_are_refused_at_the_first_byte),
		cmocka_unit_test(pieces_need_more),
		cmocka_unit_test(encode_is_bounded_and_whole_or_nothing),
		cmocka_unit_test(only_a_guest_says_what_a_guest_says),
		cmocka_unit_test(without_memory),
	};

	return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
