/* SPDX-License-Identifier: Apache-2.0
 *
 * Request targets and path patterns: one reading of each, or none.
 */
#include "policy/target.h"

#include <errno.h>

#include "base/own.h"
#include "base/str.h"
#include "unit.h"

static void canonical_forms(void **state)
{
	static const struct {
		const char *in, *out;
		bool changed, escaped_slash;
	} cases[] = {
		{ "/", "/", false, false },
		{ "/v1/x", "/v1/x", false, false },
		{ "/v1/x/", "/v1/x/", false, false },
		{ "/%76%31/x", "/v1/x", true, false },
		{ "/a%7eb", "/a~b", true, false },
		{ "/a%2Db", "/a-b", true, false },
		{ "/a%c3%a4", "/a%C3%A4", true, false },
		{ "/a%C3%A4", "/a%C3%A4", false, false },
		{ "/a%20b", "/a%20b", false, false },
		{ "/%2A", "/%2A", false, false },
		{ "/*", "/%2A", true, false },
		{ "/@scope%2fname", "/@scope%2Fname", true, true },
		{ "/a?b=../../c;%00\\", "/a", true, false },
		{ "/...", "/...", false, false },
		{ "/.a/..b", "/.a/..b", false, false },
		{ "/a%25", "/a%25", false, false },
		{ "/a%25zz", "/a%25zz", false, false },
		{ "/a%3Fb", "/a%3Fb", false, false },
		{ "/\"<>^`{|}", "/%22%3C%3E%5E%60%7B%7C%7D", true, false },
		{ "/a:b@c!$&'()+,=", "/a:b@c!$&'()+,=", false, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct target t, again;

		assert_int_equal(target_parse(cases[i].in, strlen(cases[i].in), &t), 0);
		if (t.fault != TARGET_OK)
			fail_msg("%s: %s", cases[i].in, target_fault_text(t.fault));
		assert_string_equal(t.path, cases[i].out);
		assert_int_equal(t.path_n, strlen(t.path));
		assert_int_equal(t.escaped_slash, cases[i].escaped_slash);
		if (!strchr(cases[i].in, '?'))
			assert_int_equal(t.changed, cases[i].changed);
		/* The form is its own form. */
		assert_int_equal(target_parse(t.path, t.path_n, &again), 0);
		assert_string_equal(again.path, t.path);
		assert_false(again.changed);
		target_done(&again);
		target_done(&t);
		assert_null(t.path);
	}
}

#define BYTES(s) s, sizeof(s) - 1

static void paths_with_two_readings(void **state)
{
	static const struct {
		const char *in;
		size_t n;
		enum target_fault fault;
	} cases[] = {
		{ BYTES(""), TARGET_FORM },
		{ BYTES("*"), TARGET_FORM },
		{ BYTES("v1/x"), TARGET_FORM },
		{ BYTES("http://ok.test/v1"), TARGET_FORM },
		{ BYTES("?x"), TARGET_FORM },
		{ BYTES("/v1/../admin"), TARGET_DOTS },
		{ BYTES("/v1/%2e%2e/admin"), TARGET_DOTS },
		{ BYTES("/v1/.%2E/admin"), TARGET_DOTS },
		{ BYTES("/v1/./x"), TARGET_DOTS },
		{ BYTES("/v1/.."), TARGET_DOTS },
		{ BYTES("/v1/."), TARGET_DOTS },
		{ BYTES("/.."), TARGET_DOTS },
		{ BYTES("/v1/..;/admin"), TARGET_PARAMETER },
		{ BYTES("/v1/..%3b/admin"), TARGET_PARAMETER },
		{ BYTES("/v1;a=b/x"), TARGET_PARAMETER },
		{ BYTES("/v1/..%2fadmin"), TARGET_DOTS },
		{ BYTES("/v1/a%2f..%2Fadmin"), TARGET_DOTS },
		{ BYTES("/v1/a%2f."), TARGET_DOTS },
		{ BYTES("/v1\\..\\admin"), TARGET_BACKSLASH },
		{ BYTES("/v1%5c..%5cadmin"), TARGET_BACKSLASH },
		{ BYTES("/v1/%252e%252e/admin"), TARGET_TWICE },
		{ BYTES("/v1/%252F"), TARGET_TWICE },
		{ BYTES("/v1/%2%35"), TARGET_ESCAPE },
		{ BYTES("/v1/%25%32%65"), TARGET_TWICE },
		{ BYTES("//v1/x"), TARGET_EMPTY_SEGMENT },
		{ BYTES("/v1//x"), TARGET_EMPTY_SEGMENT },
		{ BYTES("/v1/x//"), TARGET_EMPTY_SEGMENT },
		{ BYTES("/v1/x%00"), TARGET_CONTROL },
		{ BYTES("/v1/x%0d%0aHost:evil"), TARGET_CONTROL },
		{ BYTES("/v1/x%7f"), TARGET_CONTROL },
		{ BYTES("/v1/x\0y"), TARGET_BYTE },
		{ BYTES("/v1/x y"), TARGET_BYTE },
		{ BYTES("/v1/\xc3\xa4"), TARGET_BYTE },
		{ BYTES("/v1/x#y"), TARGET_BYTE },
		{ BYTES("/v1/x\ty"), TARGET_BYTE },
		{ BYTES("/%"), TARGET_ESCAPE },
		{ BYTES("/%4"), TARGET_ESCAPE },
		{ BYTES("/%zz"), TARGET_ESCAPE },
		{ BYTES("/%u002e"), TARGET_ESCAPE },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct target t;

		assert_int_equal(target_parse(cases[i].in, cases[i].n, &t), 0);
		if (t.fault != cases[i].fault)
			fail_msg("%s: %s", cases[i].in, target_fault_text(t.fault));
		assert_null(t.path);
		assert_false(target_match("/**", &t));
		target_done(&t);
	}
}

static void long_targets(void **state)
{
	auto_free char *s = malloc(TARGET_MAX + 1);
	struct target t;

	assert_non_null(s);
	memset(s, 'a', TARGET_MAX + 1);
	s[0] = '/';
	assert_int_equal(target_parse(s, TARGET_MAX, &t), 0);
	assert_int_equal(t.fault, TARGET_OK);
	assert_int_equal(t.path_n, TARGET_MAX);
	target_done(&t);
	assert_int_equal(target_parse(s, TARGET_MAX + 1, &t), 0);
	assert_int_equal(t.fault, TARGET_LONG);
	target_done(&t);
}

static void patterns(void **state)
{
	static const struct {
		const char *in, *out; /* NULL: refused */
	} cases[] = {
		{ "/", "/" },
		{ "/**", "/**" },
		{ "/v1/*", "/v1/*" },
		{ "/v1/a*b/**/c", "/v1/a*b/**/c" },
		{ "/%76%31/%2a", "/v1/%2A" },
		{ "/@scope%2f*", "/@scope%2F*" },
		{ "/**/git-upload-pack", "/**/git-upload-pack" },
		{ "/**/a/**", "/**/a/**" },
		{ "", NULL },
		{ "v1", NULL },
		{ "/v1/../x", NULL },
		{ "/v1//x", NULL },
		{ "/v1?x", NULL },
		{ "/a**", NULL },
		{ "/**a", NULL },
		{ "/***", NULL },
		{ "/**/**", NULL },
		{ "/%2e%2e/**", NULL },
		{ "/a;b", NULL },
		{ "/a b", NULL },
		{ "/\xc3\xa4", NULL },
	};
	char longest[TARGET_PATTERN_MAX + 2];
	char *out = NULL;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int r = target_pattern(cases[i].in, &out, &err);

		if (r != (cases[i].out ? 0 : -EINVAL))
			fail_msg("%s: %d", cases[i].in, r);
		if (r < 0)
			continue;
		assert_string_equal(out, cases[i].out);
		free(out);
	}
	memset(longest, 'a', sizeof(longest));
	longest[0] = '/';
	longest[sizeof(longest) - 1] = 0;
	assert_int_equal(target_pattern(longest, &out, &err), -EINVAL);
	longest[TARGET_PATTERN_MAX] = 0;
	assert_int_equal(target_pattern(longest, &out, &err), 0);
	free(out);
	/* As long in its canonical form is too long. */
	longest[1] = '[';
	assert_int_equal(target_pattern(longest, &out, &err), -EINVAL);
}

static void matches(void **state)
{
	static const struct {
		const char *pattern, *path;
		bool match;
	} cases[] = {
		{ "/", "/", true },
		{ "/", "/x", false },
		{ "/v1", "/v1", true },
		{ "/v1", "/v1/", false },
		{ "/v1/", "/v1", false },
		{ "/v1/**", "/v1", true },
		{ "/v1/**", "/v1/", true },
		{ "/v1/**", "/v1/a/b/c", true },
		{ "/v1/**", "/v10", false },
		{ "/v1/**", "/v1x/a", false },
		{ "/v1/**", "/V1/a", false },
		{ "/v1/*", "/v1/a", true },
		{ "/v1/*", "/v1/", false },
		{ "/v1/*", "/v1/a/b", false },
		{ "/v1/*/x", "/v1/a/x", true },
		{ "/v1/*/x", "/v1//x", false },
		{ "/v1/a*", "/v1/a", true },
		{ "/v1/a*b*c", "/v1/axxbyyc", true },
		{ "/v1/a*b*c", "/v1/axxbyyd", false },
		{ "/v1/a*b", "/v1/abab", true },
		{ "/**/x", "/x", true },
		{ "/**/x", "/a/b/x", true },
		{ "/**/x", "/a/b/x/y", false },
		{ "/**/x", "/ax", false },
		{ "/a/**/b/**/c", "/a/b/c", true },
		{ "/a/**/b/**/c", "/a/1/b/2/3/c", true },
		{ "/a/**/b/**/c", "/a/1/2/c", false },
		{ "/**/a/b", "/a/a/b", true },
		{ "/**", "/", true },
		{ "/**", "/a/b", true },
		{ "/@scope%2Fname", "/@scope%2fname", true },
		{ "/@scope%2F*", "/@scope%2fname", true },
		{ "/@scope/*", "/@scope%2fname", false },
		{ "/*", "/@scope%2fname", false },
		{ "/**", "/@scope%2fname", false },
		{ "/@*%2Fname", "/@scope%2fname", true },
		{ "/@*%2Fname", "/@a%2fb%2fname", false },
		{ "/**/x%2Fy", "/a%2fb/x%2fy", false },
		{ "/x", "/x?y=z", true },
		{ "/%2A", "/*", true },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_free char *pattern = NULL;
		struct target t;

		assert_int_equal(target_pattern(cases[i].pattern, &pattern, NULL), cases[i].pattern[0] ? 0 : -1);
		assert_int_equal(target_parse(cases[i].path, strlen(cases[i].path), &t), 0);
		if (target_match(pattern, &t) != cases[i].match)
			fail_msg("%s, %s", cases[i].pattern, cases[i].path);
		target_done(&t);
	}
}

/* A pattern full of wildcards does not take longer than the path is long, squared. */
static void matching_is_not_exponential(void **state)
{
	auto_free char *path = malloc(TARGET_MAX + 1), *pattern = NULL;
	struct target t;

	assert_non_null(path);
	for (size_t i = 0; i < TARGET_MAX; i++)
		path[i] = i % 2 ? 'a' : '/';
	path[TARGET_MAX] = 0;
	assert_int_equal(target_pattern("/**/a/**/a/**/a/**/a/**/*a*a*a/**/a/**/a/**/b", &pattern, NULL), 0);
	assert_int_equal(target_parse(path, TARGET_MAX, &t), 0);
	assert_int_equal(t.fault, TARGET_OK);
	assert_false(target_match(pattern, &t));
	target_done(&t);
}

static void pushes(void **state)
{
	static const struct {
		const char *in, *push; /* NULL: none; "": one without a path */
	} cases[] = {
		{ "/me/x/info/refs?service=git-receive-pack", "/me/x/git-receive-pack" },
		{ "/me/x/info/refs?service=git-upload-pack", NULL },
		{ "/me/x/info/refs", NULL },
		{ "/me/x/info/refs?service=git-receive%2Dpack", "/me/x/git-receive-pack" },
		{ "/me/x/info/refs?SERVICE=GIT-RECEIVE-PACK", "/me/x/git-receive-pack" },
		{ "/me/x/info/ref%73?a&service=git-receive-pack&b", "/me/x/git-receive-pack" },
		{ "/me/x/info/refs?service=git-receive%252Dpack", "/me/x/git-receive-pack" },
		{ "/me/x/info/refs?service=%", "/me/x/git-receive-pack" },
		{ "/info/refs?service=git-receive-pack", "/git-receive-pack" },
		{ "/me/x/other?service=git-receive-pack", NULL },
		{ "/me/../info/refs?service=git-receive-pack", "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct target t;

		assert_int_equal(target_parse(cases[i].in, strlen(cases[i].in), &t), 0);
		if (t.git_push != (cases[i].push != NULL))
			fail_msg("%s", cases[i].in);
		assert_true(cases[i].push && cases[i].push[0] ? str_eq(t.push_path, cases[i].push) : !t.push_path);
		target_done(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(canonical_forms), cmocka_unit_test(paths_with_two_readings),
		cmocka_unit_test(long_targets),    cmocka_unit_test(patterns),
		cmocka_unit_test(matches),         cmocka_unit_test(matching_is_not_exponential),
		cmocka_unit_test(pushes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
