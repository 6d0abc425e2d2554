/* SPDX-License-Identifier: Apache-2.0
 *
 * start: a whole START, the defaults, each wrong member, the maxima, running out of memory.
 */
#include "unit.h"

#include "guest/start.h"
#include "oom.h"

static int parse(const char *json, struct start *s, struct err *err)
{
	*err = (struct err){ 0 };
	return start_parse(json, strlen(json), s, err);
}

static const char whole[] = "{\"argv\":[\"sh\",\"-c\",\"\"],\"env\":{\"A\":\"b\"},\"cwd\":\"/w\",\"user\":\"root:0\","
			    "\"tty\":true,\"rows\":24,\"cols\":65535,\"term\":\"vt100\",\"later\":[1]}";

static void a_whole_one_is_read(void **state)
{
	struct start s;
	struct err err;

	assert_int_equal(parse(whole, &s, &err), 0);
	assert_string_equal(s.argv[0], "sh");
	assert_string_equal(s.argv[2], "");
	assert_null(s.argv[3]);
	assert_string_equal(vars_get(&s.env, "A"), "b");
	assert_string_equal(s.cwd, "/w");
	assert_string_equal(s.user, "root:0");
	assert_string_equal(s.term, "vt100");
	assert_true(s.tty);
	assert_int_equal(s.rows, 24);
	assert_int_equal(s.cols, 65535);
	start_done(&s);
}

static void the_rest_has_defaults(void **state)
{
	struct start s;
	struct err err;

	assert_int_equal(parse("{\"argv\":[\"true\"]}", &s, &err), 0);
	assert_string_equal(s.user, "agent");
	assert_string_equal(s.term, "xterm-256color");
	assert_null(s.cwd);
	assert_false(s.tty);
	assert_int_equal(s.rows, 0);
	assert_int_equal(s.env.n, 0);
	start_done(&s);
}

static void what_is_wrong_is_refused(void **state)
{
	static const char *const bad[] = {
		"", "null", "[]", "{", "{}", "{\"argv\":[]}", "{\"argv\":\"sh\"}", "{\"argv\":[\"\"]}", "{\"argv\":[1]}",
		"{\"argv\":[\"a\",null]}", "{\"argv\":[\"a\\u0000b\"]}", "{\"argv\":[\"a\"],\"argv\":[\"b\"]}",
		"{\"argv\":[\"a\"],\"env\":[]}", "{\"argv\":[\"a\"],\"env\":{\"A\":1}}", "{\"argv\":[\"a\"],\"cwd\":\"rel\"}",
		"{\"argv\":[\"a\"],\"cwd\":\"\"}", "{\"argv\":[\"a\"],\"cwd\":1}", "{\"argv\":[\"a\"],\"user\":\"\"}",
		"{\"argv\":[\"a\"],\"user\":0}", "{\"argv\":[\"a\"],\"tty\":1}", "{\"argv\":[\"a\"],\"rows\":-1}",
		"{\"argv\":[\"a\"],\"cols\":65536}", "{\"argv\":[\"a\"],\"rows\":\"24\"}", "{\"argv\":[\"a\"],\"term\":{}}",
		"{\"argv\":[\"a\"]} x",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct start s;
		struct err err;

		assert_true(parse(bad[i], &s, &err) < 0);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_true(err.msg[0]);
		assert_null(s.argv);
		start_done(&s);
	}
}

static void there_is_a_maximum_of_arguments(void **state)
{
	json_t *o = json_object(), *argv = json_array();
	struct start s;
	struct err err = { 0 };
	char *text;

	(void)json_object_set_new(o, "argv", argv);
	for (int i = 0; i < START_ARGS_MAX; i++)
		(void)json_array_append_new(argv, json_string("x"));
	text = json_dumps(o, 0);
	assert_int_equal(parse(text, &s, &err), 0);
	start_done(&s);
	free(text);
	(void)json_array_append_new(argv, json_string("x"));
	text = json_dumps(o, 0);
	assert_true(parse(text, &s, &err) < 0);
	free(text);
	json_decref(o);
}

static void no_memory_leaves_nothing(void **state)
{
	for (long n = 0;; n++) {
		struct start s;
		struct err err;
		int r;

		oom_from(n);
		r = parse(whole, &s, &err);
		if (!oom_off()) {
			assert_int_equal(r, 0);
			start_done(&s);
			break;
		}
		assert_true(r < 0);
		assert_null(s.argv);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_one_is_read),	     cmocka_unit_test(the_rest_has_defaults),
		cmocka_unit_test(what_is_wrong_is_refused), cmocka_unit_test(there_is_a_maximum_of_arguments),
		cmocka_unit_test(no_memory_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
