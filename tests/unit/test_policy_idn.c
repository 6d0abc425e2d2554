/* SPDX-License-Identifier: Apache-2.0
 *
 * Names in other scripts, as a person writes them in a rule.
 */
#include "policy/idn.h"

#include "base/own.h"
#include "base/str.h"
#include "unit.h"

static void ascii_stays(void **state)
{
	static const char *const same[] = { "ok.test", "**.OK.test:443", "tcp ssh.test:22", "10.0.0.0/8", "[::1]:80", "**", "",
					    "a..b", "::1" };
	char out[RULE_RESOURCE_MAX];

	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		assert_int_equal(idn_to_ascii(same[i], out, NULL), 0);
		assert_string_equal(out, same[i]);
	}
}

static void names_become_a_labels(void **state)
{
	static const struct {
		const char *in, *out; /* NULL: refused */
	} cases[] = {
		{ "b\xc3\xbc" "cher.test", "xn--bcher-kva.test" },
		{ "B\xc3\x9c" "CHER.test:443", "xn--bcher-kva.test:443" },
		{ "*.b\xc3\xbc" "cher.test", "*.xn--bcher-kva.test" },
		{ "tcp **.b\xc3\xbc" "cher.test:22", "tcp **.xn--bcher-kva.test:22" },
		{ "stra\xc3\x9f" "e.test", "xn--strae-oqa.test" },
		{ "xn--bcher-kva.test", "xn--bcher-kva.test" },
		{ "XN--BCHER-KVA.test", "xn--bcher-kva.test" },
		{ "xn--a.test", NULL },
		{ "xn--abc-.test", NULL },
		{ "a\xff.test", NULL },
		{ "\xe2\x98\x83\xe2\x80\xae.test", NULL },
	};
	char out[RULE_RESOURCE_MAX];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err;
		int r = idn_to_ascii(cases[i].in, out, &err);

		if (!idn_available() && (!cases[i].out || !str_eq(cases[i].in, cases[i].out)))
			continue;
		if (r != (cases[i].out ? 0 : -EINVAL))
			fail_msg("%zu: %d %s", i, r, r < 0 ? err.msg : out);
		if (r == 0)
			assert_string_equal(out, cases[i].out);
	}
}

static void long_resources(void **state)
{
	char in[RULE_RESOURCE_MAX + 1], out[RULE_RESOURCE_MAX];
	struct err err;

	memset(in, 'a', sizeof(in));
	in[RULE_RESOURCE_MAX] = 0;
	assert_int_equal(idn_to_ascii(in, out, &err), -EINVAL);
	in[RULE_RESOURCE_MAX - 1] = 0;
	assert_int_equal(idn_to_ascii(in, out, &err), 0);
	/* What grows past the maximum is refused, not cut. */
	for (size_t i = 0; i + 3 < RULE_RESOURCE_MAX; i += 3)
		memcpy(in + i, "\xc3\xbc.", 3);
	in[RULE_RESOURCE_MAX - 2] = 0;
	assert_int_equal(idn_to_ascii(in, out, &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ascii_stays),
		cmocka_unit_test(names_become_a_labels),
		cmocka_unit_test(long_resources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
