/* SPDX-License-Identifier: Apache-2.0
 *
 * spec: a whole one is read; each wrong field is named.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/own.h"
#include "vm/spec.h"

static const char whole[] =
	"{\"id\":\"i\",\"name\":\"shell-x\",\"hostname\":\"shell-x\",\"machine_id\":\"0123\",\"cpus\":2,\"memory_mib\":1024,"
	"\"accel\":\"tcg\",\"kernel\":\"/k\",\"initrds\":[\"/a\",\"/b\"],\"layers\":[\"/l\"],\"disk\":\"/d\",\"state_dir\":\"/s\","
	"\"cache_dir\":\"/c\",\"workspaces\":[{\"path\":\"/w\",\"readonly\":false,\"type\":\"dir\"},"
	"{\"path\":\"/w/f\",\"readonly\":true,\"type\":\"file\"}],\"env\":{\"A\":\"b\"},\"grace_ms\":30000,\"keep\":true,"
	"\"boot_timeout_ms\":60000}";

static void a_whole_spec_is_read(void **state)
{
	struct spec s;
	struct err err = { 0 };

	assert_int_equal(spec_parse(whole, strlen(whole), &s, &err), 0);
	assert_string_equal(s.name, "shell-x");
	assert_int_equal(s.cpus, 2);
	assert_int_equal(s.memory_mib, 1024);
	assert_int_equal(s.accel, SPEC_ACCEL_TCG);
	assert_int_equal(s.ninitrds, 2);
	assert_string_equal(s.initrds[1], "/b");
	assert_int_equal(s.nworkspaces, 2);
	assert_false(s.workspaces[0].readonly);
	assert_true(s.workspaces[1].readonly);
	assert_true(s.workspaces[1].is_file);
	assert_true(s.keep);
	spec_done(&s);
}

/* Sets one key to a value of the wrong kind and expects that the message names it. */
static void wrong(const char *key, json_t *value, const char *named)
{
	json_t *o = json_loads(whole, 0, NULL);
	auto_free char *text = NULL;
	struct spec s;
	struct err err = { 0 };

	assert_non_null(o);
	if (value)
		(void)json_object_set_new(o, key, value);
	else
		(void)json_object_del(o, key);
	text = json_dumps(o, 0);
	json_decref(o);
	assert_true(spec_parse(text, strlen(text), &s, &err) < 0);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_non_null(strstr(err.msg, named));
}

static void wrong_fields_are_named(void **state)
{
	json_t *many = json_array();

	for (int i = 0; i < SPEC_MAX_LAYERS + 1; i++)
		(void)json_array_append_new(many, json_string("/l"));
	wrong("id", NULL, "\"id\"");
	wrong("kernel", json_integer(1), "\"kernel\"");
	wrong("cpus", json_integer(0), "\"cpus\"");
	wrong("memory_mib", json_string("much"), "\"memory_mib\"");
	wrong("accel", json_string("hvf"), "\"accel\"");
	wrong("initrds", json_array(), "\"initrds\"");
	wrong("layers", many, "\"layers\"");
	wrong("layers", json_pack("[s]", "relative"), "\"layers\"");
	wrong("env", json_array(), "\"env\"");
	wrong("workspaces", json_null(), "workspaces");
}

static void broken_text_is_refused(void **state)
{
	struct spec s;
	struct err err = { 0 };

	assert_true(spec_parse("{\"id\":", 6, &s, &err) < 0);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_true(spec_parse("{\"id\":\"a\",\"id\":\"b\"}", 19, &s, &err) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_spec_is_read),
		cmocka_unit_test(wrong_fields_are_named),
		cmocka_unit_test(broken_text_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
