/* SPDX-License-Identifier: Apache-2.0
 *
 * Errors: kinds, codes, text that is too long, and that success touches nothing.
 */
#include "base/err.h"

#include <errno.h>

#include "unit.h"

static void set_fills_and_returns_code(void **state)
{
	struct err err = { 0 };

	assert_int_equal(err_set(&err, ERR_CONFLICT, EBUSY, "sandbox '%s' is %s", "a", "busy"), -EBUSY);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_int_equal(err.errnum, EBUSY);
	assert_string_equal(err.msg, "sandbox 'a' is busy");
	assert_int_equal(err_code(&err), -EBUSY);
}

static void without_errno_the_kind_decides(void **state)
{
	struct err err = { 0 };

	for (int k = ERR_INVALID; k <= ERR_INTERNAL; k++) {
		int r = err_set(&err, (enum err_kind)k, 0, "x");

		assert_true(r < 0);
		assert_int_equal(err_code(&err), r);
	}
	assert_int_equal(err_set(&err, ERR_NOT_FOUND, 0, "x"), -ENOENT);
	assert_int_equal(err_set(&err, ERR_INVALID, 0, "x"), -EINVAL);
}

static void null_is_allowed(void **state)
{
	assert_int_equal(err_set(NULL, ERR_INVALID, ERANGE, "x"), -ERANGE);
	assert_int_equal(err_errno(NULL, ENOENT, "x"), -ENOENT);
	assert_true(err_wrap(NULL, "x") < 0);
}

static void errno_gives_kind_and_text(void **state)
{
	static const struct {
		int errnum;
		enum err_kind kind;
	} cases[] = {
		{ ENOENT, ERR_NOT_FOUND }, { EACCES, ERR_DENIED },     { EPERM, ERR_DENIED },
		{ ENOSPC, ERR_UNAVAILABLE }, { EDQUOT, ERR_UNAVAILABLE }, { EROFS, ERR_UNAVAILABLE },
		{ ETIMEDOUT, ERR_TIMEOUT }, { EIO, ERR_INTERNAL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = { 0 };
		char want[128];

		assert_int_equal(err_errno(&err, cases[i].errnum, "cannot open %s", "/x"), -cases[i].errnum);
		assert_int_equal(err.kind, cases[i].kind);
		(void)snprintf(want, sizeof(want), "cannot open /x: %s", strerror(cases[i].errnum));
		assert_string_equal(err.msg, want);
	}
}

static void wrap_keeps_kind_and_errno(void **state)
{
	struct err err = { 0 };

	(void)err_set(&err, ERR_DENIED, EPERM, "inner");
	assert_int_equal(err_wrap(&err, "while %s", "starting"), -EPERM);
	assert_int_equal(err.kind, ERR_DENIED);
	assert_string_equal(err.msg, "while starting: inner");
}

static void long_text_is_cut(void **state)
{
	struct err err = { 0 };
	char text[2048];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	(void)err_set(&err, ERR_INTERNAL, 0, "%s", text);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
	(void)err_wrap(&err, "%s", text);
	assert_true(strlen(err.msg) < sizeof(err.msg));
	(void)err_errno(&err, ENOSPC, "%s", text);
	assert_true(strlen(err.msg) < sizeof(err.msg));
	assert_non_null(strstr(err.msg, strerror(ENOSPC)));
}

static void names_go_both_ways(void **state)
{
	for (int k = ERR_INVALID; k <= ERR_INTERNAL; k++)
		assert_int_equal(err_kind_from_name(err_kind_name((enum err_kind)k)), k);
	assert_int_equal(err_kind_from_name("no such kind"), ERR_INTERNAL);
	assert_int_equal(err_kind_from_name(""), ERR_INTERNAL);
	assert_int_equal(err_kind_from_name(NULL), ERR_INTERNAL);
	/* A peer that says "none" reports an error all the same. */
	assert_int_equal(err_kind_from_name("none"), ERR_INTERNAL);
}

static void http_statuses(void **state)
{
	assert_int_equal(err_kind_http(ERR_INVALID), 400);
	assert_int_equal(err_kind_http(ERR_DENIED), 403);
	assert_int_equal(err_kind_http(ERR_NOT_FOUND), 404);
	assert_int_equal(err_kind_http(ERR_CONFLICT), 409);
	assert_int_equal(err_kind_http(ERR_INTERNAL), 500);
	assert_int_equal(err_kind_http(ERR_UNAVAILABLE), 503);
	assert_int_equal(err_kind_http(ERR_TIMEOUT), 504);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_fills_and_returns_code),
		cmocka_unit_test(without_errno_the_kind_decides),
		cmocka_unit_test(null_is_allowed),
		cmocka_unit_test(errno_gives_kind_and_text),
		cmocka_unit_test(wrap_keeps_kind_and_errno),
		cmocka_unit_test(long_text_is_cut),
		cmocka_unit_test(names_go_both_ways),
		cmocka_unit_test(http_statuses),
	};

	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
