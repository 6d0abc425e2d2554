/* SPDX-License-Identifier: Apache-2.0
 *
 * jks: what a store becomes. The empty store is what keytool makes; tests/proxy/test_clients.py has Java read a real one.
 */
#include "unit.h"

#include <errno.h>

#include "oom.h"
#include "wire/jks.h"

#define ALIAS "debian:sbx.pem"

/* SHA-1 as a Java runtime counts it; longer ones, across blocks, are checked by Java itself. */
static const uint8_t empty[] = { 0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0, 0, 0, 0, 0xe2, 0x68, 0x6e, 0x45,
				 0xfb, 0x43, 0xdf, 0xa4, 0xd9, 0x92, 0xdd, 0x41, 0xce, 0xb6, 0xb2, 0x1c, 0x63, 0x30, 0xd7, 0x92 };
static const uint8_t a[] = { 0x30, 1, 1 }, b[] = { 0x30, 2, 1, 1 };
static const struct jks_cert both[] = { { a, sizeof(a) }, { b, sizeof(b) } }, turned[] = { { b, sizeof(b) }, { a, sizeof(a) } };

static int put(const struct buf *store, const char *alias, const struct jks_cert *certs, size_t n, struct buf *out)
{
	struct jks_change change = { .alias = alias, .certs = certs, .ncerts = n, .now_ms = 0x0102030405060708 };

	buf_init(out, 4096);
	return jks_put(buf_bytes(store), buf_len(store), &change, out);
}

static void start(struct buf *ret)
{
	buf_init(ret, 4096);
	assert_int_equal(buf_append(ret, empty, sizeof(empty)), 0);
}

static void in_and_out(void **state)
{
	static const uint8_t entry[] = "\0\0\0\2\0\016" ALIAS "\1\2\3\4\5\6\7\010\0\005X.509\0\0\0\003\x30\1\1";
	struct buf none, one, two, other, again;

	start(&none);
	assert_int_equal(put(&none, ALIAS, both, 1, &one), 1);
	assert_int_equal(buf_len(&one), sizeof(empty) + sizeof(entry) - 1);
	assert_int_equal(buf_bytes(&one)[11], 1);
	assert_memory_equal(buf_bytes(&one) + 12, entry, sizeof(entry) - 1);
	assert_int_equal(put(&one, ALIAS, both, 2, &two), 1);
	assert_int_equal(buf_bytes(&two)[11], 2);
	assert_int_equal(put(&two, ALIAS, both, 2, &again), 0);
	assert_int_equal(buf_len(&again), 0);
	assert_int_equal(put(&two, ALIAS, turned, 2, &again), 1);
	buf_done(&again);
	/* Somebody else's stays. */
	assert_int_equal(put(&two, "other", both, 1, &other), 1);
	assert_int_equal(buf_bytes(&other)[11], 3);
	assert_int_equal(put(&other, ALIAS, NULL, 0, &again), 1);
	assert_int_equal(buf_bytes(&again)[11], 1);
	buf_done(&two);
	assert_int_equal(put(&again, "other", NULL, 0, &two), 1);
	assert_int_equal(buf_len(&two), sizeof(empty));
	assert_memory_equal(buf_bytes(&two), empty, sizeof(empty));
	buf_done(&none);
	buf_done(&one);
	buf_done(&two);
	buf_done(&other);
	buf_done(&again);
}

static void what_is_no_such_store(void **state)
{
	struct buf none, one, out;
	uint8_t bytes[256];
	size_t n;

	start(&none);
	assert_int_equal(put(&none, ALIAS, both, 1, &one), 1);
	n = buf_len(&one);
	assert_true(n < sizeof(bytes));
	for (size_t i = 0; i < n; i++) {
		struct jks_change change = { .alias = ALIAS, .certs = both, .ncerts = 2 };
		int r;

		buf_init(&out, 4096);
		assert_true(jks_put(buf_bytes(&one), i, &change, &out) < 0);
		memcpy(bytes, buf_bytes(&one), n);
		bytes[i] ^= 1;
		r = jks_put(bytes, n, &change, &out);
		assert_true(r == -EINVAL || r == -EACCES);
		assert_int_equal(buf_len(&out), 0);
		buf_done(&out);
	}
	buf_done(&none);
	buf_done(&one);
}

static void no_memory_no_room(void **state)
{
	struct jks_change change = { .alias = ALIAS, .certs = both, .ncerts = 2 };
	struct buf out;
	int r = -ENOMEM;

	for (long n = 0; r < 0; n++) {
		buf_init(&out, 4096);
		oom_from(n);
		r = jks_put(empty, sizeof(empty), &change, &out);
		(void)oom_off();
		assert_true(r == 1 || (r == -ENOMEM && buf_len(&out) == 0));
		buf_done(&out);
	}
	buf_init(&out, sizeof(empty) + 4);
	assert_true(jks_put(empty, sizeof(empty), &change, &out) < 0);
	assert_int_equal(buf_len(&out), 0);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_and_out),
		cmocka_unit_test(what_is_no_such_store),
		cmocka_unit_test(no_memory_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
