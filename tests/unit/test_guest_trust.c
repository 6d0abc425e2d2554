/* SPDX-License-Identifier: Apache-2.0
 *
 * trust: what counts as PEM, what a merged bundle holds, the variables.
 */
#include "unit.h"

#include <errno.h>

#include "guest/trust.h"
#include "oom.h"

#define BEGIN "-----BEGIN CERTIFICATE-----\n"
#define END "-----END CERTIFICATE-----\n"
#define A BEGIN "QUFB\n" END
#define B BEGIN "QkJC\n" END
#define C BEGIN "Q0M=\n" END

static void pem_and_nothing_else(void **state)
{
	static const char *const good[] = { A, A B, BEGIN "QUFB\nQQ==\n" END };
	static const char *const bad[] = {
		"", "\n", "x", BEGIN, END, BEGIN END, A "\n", "\n" A, A "x\n", BEGIN "QUFB" END, BEGIN "QUFB\n" BEGIN END,
		BEGIN "QUF\n" END, BEGIN "Q=FB\n" END, BEGIN "QUF B\n" END, BEGIN "QUFB\r\n" END, BEGIN "QUFB\n-----END CERTIFICATE-----",
		"-----BEGIN PRIVATE KEY-----\nQUFB\n-----END PRIVATE KEY-----\n", BEGIN "====\n" END,
		BEGIN "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB\n" END,
	};
	char *big = malloc(TRUST_PEM_MAX + 200);
	size_t n = 0;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(trust_is_pem(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(trust_is_pem(bad[i]));
	assert_non_null(big);
	while (n <= TRUST_PEM_MAX)
		n += (size_t)snprintf(big + n, 100, "%s", A);
	assert_false(trust_is_pem(big));
	free(big);
}

static void merged(const char *bundle, const char *old, const char *pem, const char *wanted)
{
	char *got = trust_merge(bundle, old, pem);

	assert_non_null(got);
	assert_string_equal(got, wanted);
	free(got);
}

static void a_bundle_holds_it_once(void **state)
{
	merged("", NULL, A, A);
	merged(B, NULL, A, B A);
	merged("# no newline", NULL, A, "# no newline\n" A);
	merged(B A, NULL, A, B A);
	merged(A B, A, C, B C);
	merged(B A C, A, C, B C);
	merged(B, A, C, B C);
	merged(B, "", C, B C);
}

/* What is in the armour is what Java gets. */
static void certificates_for_java(void **state)
{
	static const uint8_t store[] = { 0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0, 0, 0, 0, 0xe2, 0x68, 0x6e, 0x45,
					 0xfb, 0x43, 0xdf, 0xa4, 0xd9, 0x92, 0xdd, 0x41, 0xce, 0xb6, 0xb2, 0x1c, 0x63, 0x30, 0xd7, 0x92 };
	static const struct {
		const char *pem, *end;
		size_t entries;
	} cases[] = { { A, "\0\0\0\003AAA", 1 }, { C, "\0\0\0\002CC", 1 }, { A BEGIN "QUFB\nQg==\n" END, "\0\0\0\004AAAB", 2 } };
	struct buf out;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = 4 + (size_t)cases[i].end[3];

		buf_init(&out, 4096);
		assert_int_equal(trust_java(store, sizeof(store), cases[i].pem, 1, &out), 1);
		assert_int_equal(buf_bytes(&out)[11], cases[i].entries);
		assert_memory_equal(buf_bytes(&out) + buf_len(&out) - 20 - n, cases[i].end, n);
		buf_done(&out);
	}
	buf_init(&out, 4096);
	assert_int_equal(trust_java(store, sizeof(store) - 1, A, 1, &out), -EINVAL);
	buf_done(&out);
}

static void no_memory_changes_nothing(void **state)
{
	for (long n = 0;; n++) {
		char *got;

		oom_from(n);
		got = trust_merge(B, A, C);
		if (!oom_off()) {
			assert_string_equal(got, B C);
			free(got);
			break;
		}
		assert_null(got);
	}
}

static void the_variables(void **state)
{
	struct vars v = { 0 };

	assert_int_equal(trust_vars(&v, "ab"), 0);
	assert_string_equal(vars_get(&v, "PROXY_CA_CERT_B64"), "YWI=");
	assert_string_equal(vars_get(&v, "CARGO_HTTP_CAINFO"), TRUST_BUNDLE);
	assert_string_equal(vars_get(&v, "GIT_SSL_CAINFO"), TRUST_BUNDLE);
	assert_int_equal(v.n, 9);
	assert_int_equal(trust_vars(&v, "a"), 0);
	assert_string_equal(vars_get(&v, "PROXY_CA_CERT_B64"), "YQ==");
	vars_done(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pem_and_nothing_else),
		cmocka_unit_test(a_bundle_holds_it_once),
		cmocka_unit_test(certificates_for_java),
		cmocka_unit_test(no_memory_changes_nothing),
		cmocka_unit_test(the_variables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
