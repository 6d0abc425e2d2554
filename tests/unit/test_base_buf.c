/* SPDX-License-Identifier: Apache-2.0
 *
 * The bounded byte queue: order, bounds, compaction, and failing allocations.
 */
#include "base/buf.h"

#include <errno.h>

#include "oom.h"
#include "unit.h"

static void append_and_consume_keep_order(void **state)
{
	struct buf b;

	buf_init(&b, 64);
	assert_int_equal(buf_len(&b), 0);
	assert_non_null(buf_bytes(&b));
	assert_int_equal(buf_append(&b, "hello ", 6), 0);
	assert_int_equal(buf_append_str(&b, "world"), 0);
	assert_memory_equal(buf_bytes(&b), "hello world", 11);
	buf_consume(&b, 6);
	assert_int_equal(buf_len(&b), 5);
	assert_memory_equal(buf_bytes(&b), "world", 5);
	assert_int_equal(buf_room(&b), 59);
	buf_consume(&b, 5);
	assert_int_equal(buf_len(&b), 0);
	buf_done(&b);
}

static void maximum_is_exact_and_failure_changes_nothing(void **state)
{
	struct buf b;

	buf_init(&b, 8);
	assert_int_equal(buf_append(&b, "12345678", 8), 0);
	assert_int_equal(buf_append(&b, "9", 1), -EMSGSIZE);
	assert_int_equal(buf_append(&b, "", 0), 0);
	assert_null(buf_reserve(&b, 1));
	assert_null(buf_reserve(&b, SIZE_MAX));
	assert_int_equal(buf_printf(&b, "%d", 9), -EMSGSIZE);
	assert_int_equal(buf_len(&b), 8);
	assert_string_equal(buf_cstr(&b), "12345678");
	buf_consume(&b, 3);
	assert_int_equal(buf_append(&b, "abcd", 4), -EMSGSIZE);
	assert_int_equal(buf_append(&b, "abc", 3), 0);
	assert_string_equal(buf_cstr(&b), "45678abc");
	buf_done(&b);
}

static void zero_maximum_holds_nothing(void **state)
{
	struct buf b;

	buf_init(&b, 0);
	assert_int_equal(buf_append(&b, "x", 1), -EMSGSIZE);
	assert_string_equal(buf_cstr(&b), "");
	buf_done(&b);
}

static void storage_follows_content_not_traffic(void **state)
{
	struct buf b;
	char chunk[1000];

	memset(chunk, 'x', sizeof(chunk));
	buf_init(&b, 1U << 20);
	for (int i = 0; i < 10000; i++) {
		assert_int_equal(buf_append(&b, chunk, sizeof(chunk)), 0);
		buf_consume(&b, sizeof(chunk) - (i == 0 ? 1 : 0));
	}
	assert_int_equal(buf_len(&b), 1);
	assert_true(b.cap < 16384);
	buf_done(&b);
}

static void printf_appends(void **state)
{
	struct buf b;

	buf_init(&b, 4096);
	for (int i = 0; i < 100; i++)
		assert_int_equal(buf_printf(&b, "%d,", i), 0);
	assert_int_equal(buf_len(&b), 290);
	assert_memory_equal(buf_bytes(&b), "0,1,2,", 6);
	assert_int_equal(buf_printf(&b, "%s", ""), 0);
	assert_int_equal(buf_len(&b), 290);
	buf_done(&b);
}

static void reserve_and_commit(void **state)
{
	struct buf b;
	uint8_t *at;

	buf_init(&b, 1000);
	at = buf_reserve(&b, 500);
	assert_non_null(at);
	memcpy(at, "abc", 3);
	buf_commit(&b, 3);
	assert_string_equal(buf_cstr(&b), "abc");
	buf_done(&b);
	assert_int_equal(buf_len(&b), 0);
	assert_int_equal(buf_append(&b, "again", 5), 0);
	assert_string_equal(buf_cstr(&b), "again");
	buf_done(&b);
}

static void without_memory_content_stays(void **state)
{
	struct buf b;
	char big[5000];

	memset(big, 'x', sizeof(big));
	buf_init(&b, 1U << 20);
	oom_from(0);
	assert_null(buf_cstr(&b));
	assert_int_equal(buf_append(&b, "x", 1), -ENOMEM);
	assert_true(oom_off());
	assert_int_equal(buf_append(&b, "kept", 4), 0);
	oom_from(0);
	assert_int_equal(buf_append(&b, big, sizeof(big)), -ENOMEM);
	assert_null(buf_reserve(&b, sizeof(big)));
	assert_int_equal(buf_printf(&b, "%5000d", 1), -ENOMEM);
	assert_true(oom_off());
	assert_string_equal(buf_cstr(&b), "kept");
	buf_done(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(append_and_consume_keep_order),
		cmocka_unit_test(maximum_is_exact_and_failure_changes_nothing),
		cmocka_unit_test(zero_maximum_holds_nothing),
		cmocka_unit_test(storage_follows_content_not_traffic),
		cmocka_unit_test(printf_appends),
		cmocka_unit_test(reserve_and_commit),
		cmocka_unit_test(without_memory_content_stays),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
