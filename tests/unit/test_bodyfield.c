/* SPDX-License-Identifier: Apache-2.0
 *
 * bodyfield: the one field that is meant, whatever way it is written, and what is refused.
 */
#include "wire/bodyfield.h"

#include <errno.h>

#include "base/own.h"
#include "unit.h"

typedef int replacer(const char *s, size_t n, const struct bodyfield *f, struct buf *out);

static void gives(replacer *replace, const char *s, int want_r, const char *want)
{
	const struct bodyfield f = { .name = "key", .has = "PH", .value = "a\"\\b +/&~" };
	struct buf out;
	int r;

	buf_init(&out, 4096);
	r = replace(s, strlen(s), &f, &out);
	if (r != want_r)
		fail_msg("%s: %d, not %d", s, r, want_r);
	assert_string_equal(buf_cstr(&out), want);
	buf_done(&out);
}

#define NEW "a%22%5Cb%20%2B%2F%26~"

static void forms(void **state)
{
	gives(bodyfield_form, "key=PH", 1, "key=" NEW);
	gives(bodyfield_form, "a=1&key=PH&b=%zz+", 1, "a=1&key=" NEW "&b=%zz+");
	gives(bodyfield_form, "%6b%65y=%50%48", 1, "%6b%65y=" NEW);
	gives(bodyfield_form, "&&key=PH&", 1, "&&key=" NEW "&");
	gives(bodyfield_form, "", 0, "");
	gives(bodyfield_form, "keys=PH&KEY=PH&a=key", 0, "");
	gives(bodyfield_form, "key=other", -EACCES, "");
	gives(bodyfield_form, "key=PHx", -EACCES, "");
	gives(bodyfield_form, "key=", -EACCES, "");
	gives(bodyfield_form, "key", -EACCES, "");
	gives(bodyfield_form, "key=PH&key=PH", -EACCES, "");
	gives(bodyfield_form, "key=PH&k%65y=other", -EACCES, "");
	gives(bodyfield_form, "key=PH;x=y", -EACCES, "");
	gives(bodyfield_form, "key=PH&a=1;key=other", -EACCES, "");
	gives(bodyfield_form, "a=1;x;k%65y=other;", -EACCES, "");
	gives(bodyfield_form, "a=1;keys=x;", 0, "");
}

static void leaves_out(const char *s, const char *want)
{
	const struct bodyfield f = { .name = "key", .has = "PH" };
	struct buf out;

	buf_init(&out, 4096);
	assert_int_equal(bodyfield_form(s, strlen(s), &f, &out), 1);
	assert_string_equal(buf_cstr(&out), want);
	buf_done(&out);
}

static void left_out(void **state)
{
	leaves_out("key=PH", "");
	leaves_out("a=1&key=PH", "a=1");
	leaves_out("key=PH&b=2", "b=2");
	leaves_out("a=1&key=PH&b=2", "a=1&b=2");
}

#define NEWJ "\"a\\\"\\\\b +/&~\""

static void objects(void **state)
{
	gives(bodyfield_json, "{\"key\":\"PH\"}", 1, "{\"key\":" NEWJ "}");
	gives(bodyfield_json, " {\"a\":1.10,\n\"key\" : \"\\u0050H\" ,\"b\":[{\"key\":\"x\"}]}", 1,
	      " {\"a\":1.10,\n\"key\" : " NEWJ " ,\"b\":[{\"key\":\"x\"}]}");
	gives(bodyfield_json, "{\"a\":\"key\",\"b\":\"\\\"key\\\":\\\"\",\"key\":\"PH\"}", 1, "{\"a\":\"key\",\"b\":\"\\\"key\\\":\\\"\",\"key\":" NEWJ "}");
	gives(bodyfield_json, "{\"a\":{\"key\":\"PH\"}}", 0, "");
	gives(bodyfield_json, "{}", 0, "");
	gives(bodyfield_json, "{\"key\":\"PH\",\"KEY\":\"other\"}", -EACCES, "");
	gives(bodyfield_json, "{\"kEy\":\"other\"}", -EACCES, "");
	gives(bodyfield_json, "{\"key\":\"other\"}", -EACCES, "");
	gives(bodyfield_json, "{\"key\":null}", -EACCES, "");
	gives(bodyfield_json, "{\"key\":[\"PH\"]}", -EACCES, "");
	gives(bodyfield_json, "{\"k\\u0065y\":\"PH\"}", -EPROTO, "");
	gives(bodyfield_json, "{\"key\":\"PH\",\"key\":\"PH\"}", -EPROTO, "");
	gives(bodyfield_json, "{\"key\":\"PH\"}x", -EPROTO, "");
	gives(bodyfield_json, "[{\"key\":\"PH\"}]", -EPROTO, "");
	gives(bodyfield_json, "", -EPROTO, "");
}

static void bounds(void **state)
{
	const struct bodyfield f = { .name = "key", .has = "PH", .value = "0123456789" };
	struct buf out;

	buf_init(&out, 12);
	assert_int_equal(bodyfield_form("key=PH", 6, &f, &out), -EMSGSIZE);
	assert_int_equal(bodyfield_json("{\"key\":\"PH\"}", 12, &f, &out), -EMSGSIZE);
	buf_done(&out);
}

static void kinds(void **state)
{
	assert_int_equal(bodyfield_kind("application/x-www-form-urlencoded; charset=utf-8"), BODYFIELD_FORM);
	assert_int_equal(bodyfield_kind("Application/JSON"), BODYFIELD_JSON);
	assert_int_equal(bodyfield_kind("application/vnd.api+json;x=y"), BODYFIELD_JSON);
	assert_int_equal(bodyfield_kind("application/jsonl"), BODYFIELD_NEITHER);
	assert_int_equal(bodyfield_kind("text/plain; a=+json"), BODYFIELD_NEITHER);
	assert_int_equal(bodyfield_kind("multipart/form-data"), BODYFIELD_NEITHER);
	assert_int_equal(bodyfield_kind(""), BODYFIELD_NEITHER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forms), cmocka_unit_test(left_out), cmocka_unit_test(objects), cmocka_unit_test(bounds),
		cmocka_unit_test(kinds),
	};

	return cmocka_run_group_tests_name("bodyfield", tests, NULL, NULL);
}
