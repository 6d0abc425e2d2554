/* SPDX-License-Identifier: Apache-2.0
 *
 * vars: setting, replacing, merging, the maxima, running out of memory.
 */
#include "unit.h"

#include <errno.h>

#include "guest/vars.h"
#include "oom.h"

static void the_last_one_wins(void **state)
{
	struct vars v = { 0 };

	assert_null(vars_get(&v, "A"));
	assert_int_equal(vars_set(&v, "A", "1"), 0);
	assert_int_equal(vars_set(&v, "AB", "2"), 0);
	assert_int_equal(vars_set(&v, "A", ""), 0);
	assert_int_equal(vars_set(&v, "E", "x=y"), 0);
	assert_int_equal(v.n, 3);
	assert_string_equal(vars_get(&v, "A"), "");
	assert_string_equal(vars_get(&v, "AB"), "2");
	assert_string_equal(v.list[0], "A=");
	assert_string_equal(v.list[2], "E=x=y");
	assert_null(v.list[3]);
	assert_null(vars_get(&v, "B"));
	vars_done(&v);
}

static void a_merge_overrides(void **state)
{
	struct vars a = { 0 }, b = { 0 };

	assert_int_equal(vars_set(&a, "KEEP", "a"), 0);
	assert_int_equal(vars_set(&a, "BOTH", "a"), 0);
	assert_int_equal(vars_set(&b, "BOTH", "b"), 0);
	assert_int_equal(vars_set(&b, "NEW", "b"), 0);
	assert_int_equal(vars_merge(&a, &b), 0);
	assert_int_equal(a.n, 3);
	assert_string_equal(vars_get(&a, "KEEP"), "a");
	assert_string_equal(vars_get(&a, "BOTH"), "b");
	assert_string_equal(vars_get(&a, "NEW"), "b");
	vars_done(&a);
	vars_done(&b);
}

static void a_name_has_no_equals_sign(void **state)
{
	struct vars v = { 0 };

	assert_int_equal(vars_set(&v, "", "x"), -EINVAL);
	assert_int_equal(vars_set(&v, "A=B", "x"), -EINVAL);
	assert_int_equal(v.n, 0);
}

static void there_is_a_maximum(void **state)
{
	struct vars v = { 0 };
	char name[32], *big = malloc(VARS_MAX_BYTES);

	assert_non_null(big);
	memset(big, 'x', VARS_MAX_BYTES - 1);
	big[VARS_MAX_BYTES - 1] = 0;
	assert_int_equal(vars_set(&v, "A", big), -E2BIG);
	big[VARS_MAX_BYTES - 3] = 0;
	assert_int_equal(vars_set(&v, "A", big), 0);
	assert_int_equal(vars_set(&v, "B", ""), -E2BIG);
	/* Replacing gives back what the old one took. */
	assert_int_equal(vars_set(&v, "A", "small"), 0);
	for (int i = 1; i < VARS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "N%d", i);
		assert_int_equal(vars_set(&v, name, ""), 0);
	}
	assert_int_equal(vars_set(&v, "ONE_MORE", ""), -E2BIG);
	assert_int_equal(vars_set(&v, "A", "again"), 0);
	vars_done(&v);
	free(big);
}

static void an_object_of_strings_only(void **state)
{
	static const char *const bad[] = { "[]", "\"x\"", "{\"A\":1}", "{\"A\":null}", "{\"\":\"x\"}", "{\"A=\":\"x\"}" };
	struct vars v = { 0 };
	struct err err = { 0 };
	json_t *o;

	assert_int_equal(vars_from_json(&v, NULL, &err), 0);
	o = json_pack("{s:s, s:s}", "A", "1", "B", "2");
	assert_int_equal(vars_from_json(&v, o, &err), 0);
	assert_string_equal(vars_get(&v, "B"), "2");
	json_decref(o);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		o = json_loads(bad[i], JSON_DECODE_ANY, NULL);
		assert_non_null(o);
		assert_true(vars_from_json(&v, o, &err) < 0);
		assert_int_equal(err.kind, ERR_INVALID);
		json_decref(o);
	}
	vars_done(&v);
}

static void no_memory_changes_nothing(void **state)
{
	for (long n = 0;; n++) {
		struct vars v = { 0 }, w = { 0 };
		int r;

		assert_int_equal(vars_set(&w, "A", "2"), 0);
		assert_int_equal(vars_set(&w, "B", "2"), 0);
		oom_from(n);
		r = vars_set(&v, "A", "1");
		if (r == 0)
			r = vars_merge(&v, &w);
		if (oom_off()) {
			assert_int_equal(r, -ENOMEM);
			assert_true(v.n == 0 || v.list[v.n] == NULL);
		} else {
			assert_int_equal(r, 0);
			n = -2;
		}
		vars_done(&v);
		vars_done(&w);
		if (n == -2)
			break;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_one_wins),   cmocka_unit_test(a_merge_overrides),
		cmocka_unit_test(a_name_has_no_equals_sign), cmocka_unit_test(there_is_a_maximum),
		cmocka_unit_test(an_object_of_strings_only), cmocka_unit_test(no_memory_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
