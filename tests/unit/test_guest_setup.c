/* SPDX-License-Identifier: Apache-2.0
 *
 * setup: the request's members, each wrong one, the reply; and the environment that a session gets from it.
 */
#include "unit.h"

#include <jansson.h>

#include "guest/launch.h"
#include "guest/setup.h"
#include "oom.h"

static json_t *whole(void)
{
	char entropy[129];

	memset(entropy, 'a', 128);
	entropy[128] = 0;
	return json_pack("{s:s, s:I, s:s, s:s, s:[i,i], s:i, s:[{s:i,s:s,s:b,s:s},{s:i,s:s,s:b,s:s}], s:{s:s}, s:b}",
			 "hostname", "shell-proj", "time_ns", (json_int_t)1700000000000000000, "entropy", entropy,
			 "machine_id", "0123456789abcdef0123456789abcdef", "layers", 1, 2, "disk", 0, "workspaces", "index", 0,
			 "path", "/w/p", "readonly", 0, "type", "dir", "index", 1, "path", "/a", "readonly", 1, "type", "file",
			 "env", "A", "setup", "fs", 1);
}

static int parse(json_t *o, struct setup *s, struct err *err)
{
	char *text = json_dumps(o, 0);
	int r;

	*err = (struct err){ 0 };
	assert_non_null(text);
	r = setup_parse(text, strlen(text), s, err);
	free(text);
	return r;
}

static void a_whole_one_is_read(void **state)
{
	json_t *o = whole();
	struct setup s;
	struct err err;

	assert_int_equal(parse(o, &s, &err), 0);
	assert_string_equal(s.hostname, "shell-proj");
	assert_int_equal(s.time_ns, 1700000000000000000);
	assert_int_equal(s.entropy_bytes, 64);
	assert_int_equal(s.entropy[63], 0xaa);
	assert_int_equal(s.nlayers, 2);
	assert_int_equal(s.layers[1], 2);
	assert_int_equal(s.disk, 0);
	assert_true(s.fs);
	assert_int_equal(s.nworkspaces, 2);
	assert_string_equal(s.workspaces[0].path, "/w/p");
	assert_true(s.workspaces[1].readonly && s.workspaces[1].file);
	assert_string_equal(vars_get(&s.env, "A"), "setup");
	setup_done(&s);
	json_decref(o);
}

static void wrong(const char *key, json_t *value)
{
	json_t *o = whole();
	struct setup s;
	struct err err;

	if (value)
		(void)json_object_set_new(o, key, value);
	else
		(void)json_object_del(o, key);
	assert_true(parse(o, &s, &err) < 0);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_int_equal(s.nworkspaces, 0);
	json_decref(o);
}

static void what_is_wrong_is_refused(void **state)
{
	json_t *many = json_array();

	for (int i = 0; i <= SETUP_LAYERS_MAX; i++)
		(void)json_array_append_new(many, json_integer(i));
	wrong("hostname", NULL);
	wrong("hostname", json_string(""));
	wrong("hostname", json_string("a b"));
	wrong("hostname", json_string("-a"));
	wrong("machine_id", json_string("0123"));
	wrong("machine_id", json_string("0123456789abcdef0123456789abcdeg"));
	wrong("entropy", json_string("abcd"));
	wrong("entropy", json_integer(1));
	wrong("time_ns", json_integer(-1));
	wrong("layers", json_array());
	wrong("layers", many);
	wrong("layers", json_pack("[i]", 256));
	wrong("disk", NULL);
	wrong("disk", json_string("sda"));
	wrong("env", json_pack("{s:i}", "A", 1));
	wrong("fs", json_false()); /* but there are workspaces */
	wrong("workspaces", json_pack("[{s:i}]", "index", 0));
	wrong("workspaces", json_pack("[{s:i,s:s}]", "index", 0, "path", "/usr"));
	wrong("workspaces", json_pack("[{s:i,s:s}]", "index", -1, "path", "/w"));
	wrong("workspaces", json_pack("[{s:i,s:s,s:s}]", "index", 0, "path", "/w", "type", "socket"));
}

#define PEM "-----BEGIN CERTIFICATE-----\nTUlJQg==\n-----END CERTIFICATE-----\n"

static void the_network_is_optional(void **state)
{
	json_t *o = whole();
	struct setup s;
	struct err err;

	assert_int_equal(parse(o, &s, &err), 0);
	assert_false(s.network);
	assert_null(s.ca);
	setup_done(&s);
	(void)json_object_set_new(o, "network", json_true());
	(void)json_object_set_new(o, "ca", json_string(PEM));
	assert_int_equal(parse(o, &s, &err), 0);
	assert_string_equal(s.ca_hash, "");
	setup_done(&s);
	(void)json_object_set_new(o, "ca_hash", json_string("0123abcd"));
	assert_int_equal(parse(o, &s, &err), 0);
	assert_true(s.network);
	assert_string_equal(s.ca, PEM);
	assert_string_equal(s.ca_hash, "0123abcd");
	setup_done(&s);
	json_decref(o);
	wrong("network", json_string("true"));
	wrong("network", json_integer(1));
	wrong("ca", json_true());
	wrong("ca_hash", json_string("0123ABCD"));
	wrong("ca_hash", json_string("../../../"));
	wrong("ca_hash", json_integer(1));
	wrong("ca", json_string(""));
	wrong("ca", json_string("-----BEGIN CERTIFICATE-----\n"));
	wrong("ca", json_string(PEM "rubbish"));
}

static void the_network_is_in_the_environment(void **state)
{
	struct user u = { .uid = 1000, .name = "agent", .home = "/home/agent", .shell = "/bin/bash" };
	struct setup setup = { .agent = { .uid = 1000 } };
	struct start start = { 0 };
	struct vars v;
	struct err err = { 0 };

	assert_int_equal(launch_env(&setup, &start, &u, &v, &err), 0);
	assert_null(vars_get(&v, "HTTP_PROXY"));
	assert_string_equal(vars_get(&v, "BROWSER"), "/usr/local/bin/xdg-open");
	assert_null(vars_get(&v, "SSL_CERT_FILE"));
	vars_done(&v);
	setup.network = true;
	setup.ca = (char *)(uintptr_t)"abcd";
	assert_int_equal(vars_set(&start.env, "NO_PROXY", "mine"), 0);
	assert_int_equal(launch_env(&setup, &start, &u, &v, &err), 0);
	assert_string_equal(vars_get(&v, "HTTP_PROXY"), "http://gateway.docker.internal:3128");
	assert_string_equal(vars_get(&v, "https_proxy"), "http://gateway.docker.internal:3128");
	assert_string_equal(vars_get(&v, "no_proxy"), "localhost,127.0.0.1,::1");
	assert_string_equal(vars_get(&v, "NO_PROXY"), "mine");
	assert_string_equal(vars_get(&v, "NODE_USE_ENV_PROXY"), "1");
	assert_string_equal(vars_get(&v, "NODE_EXTRA_CA_CERTS"), "/etc/ssl/certs/ca-certificates.crt");
	assert_string_equal(vars_get(&v, "PROXY_CA_CERT_B64"), "YWJjZA==");
	vars_done(&v);
	vars_done(&start.env);
}

static void not_even_json(void **state)
{
	struct setup s;
	struct err err = { 0 };

	assert_true(setup_parse("", 0, &s, &err) < 0);
	assert_true(setup_parse("[]", 2, &s, &err) < 0);
	assert_true(setup_parse("{\"fs\":1,\"fs\":2}", 15, &s, &err) < 0);
}

static void the_reply_names_the_mounts(void **state)
{
	json_t *o = whole(), *reply;
	struct setup s;
	struct err err;
	char *text;

	assert_int_equal(parse(o, &s, &err), 0);
	s.workspaces[1].ino = 1ULL << 40;
	(void)snprintf(s.nonce, sizeof(s.nonce), "abcd");
	text = setup_reply(&s);
	assert_non_null(text);
	reply = json_loads(text, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(reply, "nonce")), "abcd");
	assert_true(json_is_string(json_object_get(reply, "release")));
	assert_int_equal(json_integer_value(json_object_get(json_array_get(json_object_get(reply, "mounts"), 1), "ino")),
			 1LL << 40);
	json_decref(reply);
	free(text);
	setup_done(&s);
	json_decref(o);
}

static void the_environment_has_an_order(void **state)
{
	struct user u = { .uid = 1000, .name = "agent", .home = "/home/agent", .shell = "/bin/bash" };
	struct setup setup = { .agent = { .uid = 1000 } };
	struct start start = { .tty = true, .term = (char *)(uintptr_t) "vt220" };
	struct vars v;
	struct err err = { 0 };

	assert_int_equal(vars_set(&setup.env, "A", "setup"), 0);
	assert_int_equal(vars_set(&setup.env, "LANG", "de"), 0);
	assert_int_equal(vars_set(&start.env, "A", "start"), 0);
	assert_int_equal(launch_env(&setup, &start, &u, &v, &err), 0);
	assert_string_equal(vars_get(&v, "HOME"), "/home/agent");
	assert_string_equal(vars_get(&v, "USER"), "agent");
	assert_string_equal(vars_get(&v, "LOGNAME"), "agent");
	assert_string_equal(vars_get(&v, "SHELL"), "/bin/bash");
	assert_string_equal(vars_get(&v, "TERM"), "vt220");
	assert_string_equal(vars_get(&v, "LANG"), "de");
	assert_string_equal(vars_get(&v, "A"), "start");
	assert_string_equal(vars_get(&v, "XDG_RUNTIME_DIR"), "/run/user/1000");
	assert_non_null(strstr(vars_get(&v, "PATH"), "/usr/local/bin"));
	vars_done(&v);
	start.tty = false;
	u.uid = 0;
	assert_int_equal(launch_env(&setup, &start, &u, &v, &err), 0);
	assert_null(vars_get(&v, "TERM"));
	assert_null(vars_get(&v, "XDG_RUNTIME_DIR"));
	vars_done(&v);
	vars_done(&setup.env);
	vars_done(&start.env);
}

static void no_memory_leaves_nothing(void **state)
{
	json_t *o = whole();
	char *text;

	(void)json_object_set_new(o, "ca", json_string(PEM));
	text = json_dumps(o, 0);
	for (long n = 0;; n++) {
		struct setup s;
		struct err err = { 0 };
		int r;

		oom_from(n);
		r = setup_parse(text, strlen(text), &s, &err);
		if (!oom_off()) {
			assert_int_equal(r, 0);
			setup_done(&s);
			break;
		}
		assert_true(r < 0);
		assert_null(s.workspaces);
		assert_null(s.ca);
	}
	free(text);
	json_decref(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_one_is_read),	       cmocka_unit_test(what_is_wrong_is_refused),
		cmocka_unit_test(the_network_is_optional),     cmocka_unit_test(the_network_is_in_the_environment),
		cmocka_unit_test(not_even_json),	       cmocka_unit_test(the_reply_names_the_mounts),
		cmocka_unit_test(the_environment_has_an_order), cmocka_unit_test(no_memory_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
