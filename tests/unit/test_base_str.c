/* SPDX-License-Identifier: Apache-2.0
 *
 * Strings and numbers: strict parsing at its limits, truncation, escaping of hostile text.
 */
#include "base/str.h"

#include <errno.h>

#include "base/own.h"
#include "oom.h"
#include "unit.h"

struct number {
	const char *text;
	int result;
	uint64_t value;
};

static void decimal_numbers(void **state)
{
	static const struct number cases[] = {
		{ "0", 0, 0 }, { "7", 0, 7 }, { "100", 0, 100 }, { "007", 0, 7 },
		{ "101", -ERANGE, 0 }, { "18446744073709551615", -ERANGE, 0 }, { "18446744073709551616", -ERANGE, 0 },
		{ "99999999999999999999999", -ERANGE, 0 },
		{ "", -EINVAL, 0 }, { " 1", -EINVAL, 0 }, { "1 ", -EINVAL, 0 }, { "+1", -EINVAL, 0 }, { "-1", -EINVAL, 0 },
		{ "0x1", -EINVAL, 0 }, { "1e1", -EINVAL, 0 }, { "1\n", -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t v = 42;

		assert_int_equal(str_u64(cases[i].text, 100, &v), cases[i].result);
		assert_int_equal(v, cases[i].result ? 42 : cases[i].value);
	}
}

static void largest_number(void **state)
{
	uint64_t v = 0;

	assert_int_equal(str_u64("18446744073709551615", UINT64_MAX, &v), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(str_u64("18446744073709551616", UINT64_MAX, &v), -ERANGE);
}

static void sizes(void **state)
{
	static const struct number cases[] = {
		{ "512", 0, 512 }, { "512b", 0, 512 }, { "1k", 0, 1024 }, { "1K", 0, 1024 }, { "1kb", 0, 1024 },
		{ "1KiB", 0, 1024 }, { "1024m", 0, UINT64_C(1) << 30 }, { "8g", 0, UINT64_C(8) << 30 },
		{ "2T", 0, UINT64_C(2) << 40 }, { "0", 0, 0 },
		{ "16777216t", -ERANGE, 0 }, { "18446744073709551616", -ERANGE, 0 },
		{ "", -EINVAL, 0 }, { "g", -EINVAL, 0 }, { "1x", -EINVAL, 0 }, { "1 g", -EINVAL, 0 }, { "1gg", -EINVAL, 0 },
		{ "1bb", -EINVAL, 0 }, { "1bib", -EINVAL, 0 }, { "1ki", -EINVAL, 0 }, { "1.5g", -EINVAL, 0 }, { "-1g", -EINVAL, 0 },
		{ "1kibb", -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t v = 42;

		assert_int_equal(str_bytes(cases[i].text, &v), cases[i].result);
		assert_true(v == (cases[i].result ? 42 : cases[i].value));
	}
}

static void durations(void **state)
{
	static const struct number cases[] = {
		{ "30", 0, 30000 }, { "30s", 0, 30000 }, { "500ms", 0, 500 }, { "2m", 0, 120000 }, { "1h", 0, 3600000 },
		{ "0", 0, 0 },
		{ "18446744073709551615s", -ERANGE, 0 },
		{ "", -EINVAL, 0 }, { "s", -EINVAL, 0 }, { "1d", -EINVAL, 0 }, { "1 s", -EINVAL, 0 }, { "1S", -EINVAL, 0 },
		{ "1ss", -EINVAL, 0 }, { "-1s", -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t v = 42;

		assert_int_equal(str_duration(cases[i].text, &v), cases[i].result);
		assert_true(v == (cases[i].result ? 42 : cases[i].value));
	}
}

static void format_reports_truncation(void **state)
{
	char s[6];

	assert_int_equal(str_format(s, sizeof(s), "%s", "12345"), 0);
	assert_string_equal(s, "12345");
	assert_int_equal(str_format(s, sizeof(s), "%s", "123456"), -ENAMETOOLONG);
	assert_string_equal(s, "12345");
}

static void prefixes_and_suffixes(void **state)
{
	assert_true(str_starts("abc", "ab"));
	assert_true(str_starts("abc", ""));
	assert_false(str_starts("ab", "abc"));
	assert_true(str_ends("abc", "bc"));
	assert_true(str_ends("abc", ""));
	assert_false(str_ends("c", "bc"));
	assert_true(str_eq("a", "a"));
	assert_false(str_eq("a", "b"));
}

static void hex(void **state)
{
	static const uint8_t bytes[] = { 0x00, 0x0f, 0xa0, 0xff };
	char s[2 * sizeof(bytes) + 1];
	auto_free char *one = str_random_hex(16), *two = str_random_hex(16);

	str_hex(s, bytes, sizeof(bytes));
	assert_string_equal(s, "000fa0ff");
	assert_non_null(one);
	assert_non_null(two);
	assert_int_equal(strlen(one), 32);
	assert_int_equal(strspn(one, "0123456789abcdef"), 32);
	assert_string_not_equal(one, two);
}

static void escape_leaves_printable_ascii_only(void **state)
{
	char s[64], all[256], out[4 * 256 + 1];

	str_escape(s, sizeof(s), "a\n\x1b[2J\\\xc3\xa9", 9);
	assert_string_equal(s, "a\\x0a\\x1b[2J\\x5c\\xc3\\xa9");
	str_escape(s, sizeof(s), "a\0b", 3);
	assert_string_equal(s, "a\\x00b");
	for (int i = 0; i < 256; i++)
		all[i] = (char)i;
	str_escape(out, sizeof(out), all, sizeof(all));
	for (const char *p = out; *p; p++)
		assert_true(*p >= 0x20 && *p < 0x7f);
}

static void escape_cuts_between_characters(void **state)
{
	char s[6];

	str_escape(s, sizeof(s), "abcdefgh", 8);
	assert_string_equal(s, "abcde");
	str_escape(s, sizeof(s), "ab\ncd", 5);
	assert_string_equal(s, "ab");
	str_escape(s, 1, "abc", 3);
	assert_string_equal(s, "");
	s[0] = 'x';
	str_escape(s, 0, "abc", 3);
	assert_int_equal(s[0], 'x');
}

static void without_memory(void **state)
{
	for (long n = 0;; n++) {
		char *s;

		oom_from(n);
		s = str_random_hex(16);
		if (!oom_off()) {
			assert_non_null(s);
			free(s);
			break;
		}
		assert_null(s);
	}
	oom_from(0);
	assert_null(str_new("%d", 1));
	assert_true(oom_off());
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(decimal_numbers),
		cmocka_unit_test(largest_number),
		cmocka_unit_test(sizes),
		cmocka_unit_test(durations),
		cmocka_unit_test(format_reports_truncation),
		cmocka_unit_test(prefixes_and_suffixes),
		cmocka_unit_test(hex),
		cmocka_unit_test(escape_leaves_printable_ascii_only),
		cmocka_unit_test(escape_cuts_between_characters),
		cmocka_unit_test(without_memory),
	};

	return cmocka_run_group_tests_name("str", tests, NULL, NULL);
}
