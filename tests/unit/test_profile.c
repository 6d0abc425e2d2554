/* SPDX-License-Identifier: Apache-2.0
 *
 * profile: what a profile may say, what becomes of it, and that each error names its line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/own.h"
#include "wire/profile.h"

#define HEAD "name: a\ncommand: [b]\n" /* two lines, to which each case adds */

static void means(const char *text, const char *want)
{
	struct err err = { 0 };
	auto_free char *got = NULL;
	json_t *o;

	if (profile_parse(text, strlen(text), "a", &o, &err) < 0)
		fail_msg("'%s': %s", text, err.msg);
	got = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(o);
	assert_string_equal(got, want);
}

static void refused(const char *text, const char *says)
{
	json_t *o = NULL;
	struct err err = { 0 };

	if (profile_parse(text, strlen(text), "a", &o, &err) == 0)
		fail_msg("'%s' was taken", text);
	assert_null(o);
	assert_int_equal(err.kind, ERR_INVALID);
	if (strncmp(err.msg, says, strlen(says)) != 0)
		fail_msg("'%s' says '%s', not '%s'", text, err.msg, says);
}

static void whole(void **state)
{
	means("name: a\n"
	      "description: An agent\n"
	      "install:\n"
	      "  npm: [\"@x/y\", node@22]\n"
	      "  script: |\n"
	      "    true\n"
	      "version: [b, --version]\n"
	      "command: [b]\n"
	      "env: {A: \"1\", B: ''}\n"
	      "files:\n"
	      "- path: ~/.b/c.json\n"
	      "  content: '{}'\n"
	      "- {path: ~/d, mode: \"0600\", content: e}\n"
	      "notes: ~/.b/B.md\n"
	      "secrets: [anthropic]\n"
	      "hosts: ['example.com:443']\n"
	      "memory: 4096\n"
	      "oauth: []\n",
	      "{\"command\":[\"b\"],\"description\":\"An agent\",\"env\":{\"A\":\"1\",\"B\":\"\"},"
	      "\"files\":[{\"content\":\"{}\",\"mode\":\"0644\",\"path\":\"~/.b/c.json\"},{\"content\":\"e\",\"mode\":\"0600\",\"path\":\"~/d\"}],"
	      "\"hosts\":[\"example.com:443\"],\"install\":{\"npm\":[\"@x/y\",\"node@22\"],\"script\":\"true\\n\",\"user\":\"root\"},"
	      "\"memory_mib\":4096,\"name\":\"a\",\"notes\":\"~/.b/B.md\",\"oauth\":[],\"secrets\":[\"anthropic\"],"
	      "\"version\":[\"b\",\"--version\"]}");
}

static void least(void **state)
{
	means(HEAD, "{\"command\":[\"b\"],\"description\":\"\",\"env\":{},\"files\":[],\"hosts\":[],\"memory_mib\":0,\"name\":\"a\","
		    "\"oauth\":[],\"secrets\":[],\"version\":[]}");
}

static void keys_that_are_wrong(void **state)
{
	refused("", "line 1: the file is empty");
	refused("- a\n", "line 1: a profile is a mapping");
	refused("command: [b]\n", "line 1: 'name' is missing");
	refused("name: a\n", "line 1: 'command' is missing");
	refused("name: b\ncommand: [b]\n", "line 1: 'name' must be as the file is called: a");
	refused("name: A\ncommand: [b]\n", "line 1: 'name' must be a name");
	refused(HEAD "colour: red\n", "line 3: there is no key 'colour'");
	refused(HEAD "name: a\n", "line 3: 'name' is there twice");
	refused(HEAD "env: {A: 1, A: 2}\n", "line 3: 'A' is there twice");
	refused(HEAD "install:\n  npm: [x]\n  as: root\n", "line 5: there is no key 'as'");
	refused(HEAD "files:\n- path: ~/a\n", "line 4: 'content' is missing");
	refused(HEAD "oauth: x\n", "line 3: 'oauth' must be a list of at most 8 sign-ins");
	refused(HEAD "oauth:\n  - service: x\n    token: [http://a.test/t]\n", "line 4: the sign-in has no valid \"token\"");
}

static void values_that_are_wrong(void **state)
{
	refused("name: a\ncommand: []\n", "line 2: 'command' must be a program");
	refused("name: a\ncommand: b -c\n", "line 2: 'command' must be a program");
	refused("name: a\ncommand:\n- b\n- [c]\n", "line 4: 'command' must be a program");
	refused("name: a\ncommand: [\"b\\n\"]\n", "line 2: 'command' must be a program");
	refused(HEAD "install: {}\n", "line 3: 'install' must be a mapping with npm or script");
	refused(HEAD "install: {user: root}\n", "line 3: 'install' must be a mapping with npm or script");
	refused(HEAD "install: {npm: [x], user: me}\n", "line 3: 'user' must be root or agent");
	refused(HEAD "memory: 511\n", "line 3: 'memory' must be a number");
	refused(HEAD "memory: 4g\n", "line 3: 'memory' must be a number");
	refused(HEAD "env:\n  1A: x\n", "line 4: a variable's name");
	refused(HEAD "env:\n  A: [x]\n", "line 4: 'env' must be a mapping");
	refused(HEAD "secrets: [Anthropic]\n", "line 3: 'secrets' must be a list");
	refused(HEAD "hosts: ['a b']\n", "line 3: 'hosts' must be a list");
	refused(HEAD "notes: /etc/motd\n", "line 3: 'notes' must be a path below ~/");
	refused(HEAD "notes: ~/x\nfiles: [{path: ~/x, content: y}]\n", "line 3: 'notes' is one of the files");
}

static void npm_names(void **state)
{
	static const char *const bad[] = { "-g", "--prefix=/", "./x", "../x", ".x", "/x", "x/y", "@x", "@x/", "@/y", "@.x/y", "x@", "x@-y",
					   "x@https://h/", "git+ssh://h/x", "X", "x y", "x;y", "file:x" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char text[120];

		(void)snprintf(text, sizeof(text), HEAD "install:\n  npm:\n  - x@1.2.3\n  - \"%s\"\n", bad[i]);
		refused(text, "line 6: 'npm' must be 1 to 8 names");
	}
}

static void files_stay_at_home(void **state)
{
	static const char *const bad[] = { "/etc/passwd", "~", "~/", "~root/x", "~/../x", "~/a/../x", "~/a/./x", "~/a//x", "~/a/", "x",
					   "${WORKDIR}/x" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char text[120];

		(void)snprintf(text, sizeof(text), HEAD "files:\n- content: x\n  path: \"%s\"\n", bad[i]);
		refused(text, "line 5: 'path' must be a path below ~/");
	}
	refused(HEAD "files:\n- {path: ~/x, content: x, mode: \"4755\"}\n", "line 4: 'mode' must be");
	refused(HEAD "files:\n- {path: ~/x, content: x, mode: \"0111\"}\n", "line 4: 'mode' must be");
	refused(HEAD "files:\n- {path: ~/x, content: x}\n- {path: ~/x, content: y}\n", "line 5: this file is there twice");
	refused(HEAD "files:\n- {path: ~/x, content: x, oauth: x-oauth}\n- {path: ~/x, content: y}\n", "line 5: this file is there twice");
	refused(HEAD "files:\n- {path: ~/x, content: x, oauth: x-oauth}\n- {path: ~/x, content: y, oauth: x-oauth}\n", "line 5: this file is there twice");
	means(HEAD "files:\n- {path: ~/x, content: x}\n- {path: ~/x, content: y, oauth: x-oauth}\n",
	      "{\"command\":[\"b\"],\"description\":\"\",\"env\":{},\"files\":[{\"content\":\"x\",\"mode\":\"0644\",\"path\":\"~/x\"},"
	      "{\"content\":\"y\",\"mode\":\"0644\",\"oauth\":\"x-oauth\",\"path\":\"~/x\"}],\"hosts\":[],\"memory_mib\":0,"
	      "\"name\":\"a\",\"oauth\":[],\"secrets\":[],\"version\":[]}");
}

static void yaml_that_is_not_taken(void **state)
{
	refused("name: a\ncommand: [b\n", "line 3: ");
	refused("name: a\n\tcommand: b\n", "line 2: ");
	refused("name: &n a\ncommand: [b]\n", "line 1: anchors");
	refused("name: a\ncommand: !!str b\n", "line 2: anchors (&) and tags");
	refused("name: a\ncommand: [*n]\n", "line 2: aliases");
	refused(HEAD "? [x]\n: y\n", "line 3: a key that is no word");
	refused(HEAD "---\nname: b\n", "line 3: a second document");
	refused("name: a\ncommand: [\"b\\0c\"]\n", "line 2: a zero byte");
	refused("name: a\n\xff: b\n", "line 2: ");
	refused("name: a\ncommand: [[[[[[[[[[[[[[[[[[[b]]]]]]]]]]]]]]]]]]]\n", "line 2: too deep");
}

static void sizes(void **state)
{
	size_t n = PROFILE_MAX_BYTES + 1;
	auto_free char *text = malloc(n + 1);

	assert_non_null(text);
	memset(text, '#', n);
	text[n] = 0;
	refused(text, "line 1: the file has more than 128 KiB");
	text[--n] = 0;
	refused(text, "line 1: the file is empty");
	for (size_t i = 0; i + 2 < n; i += 2)
		memcpy(text + i, i ? "x," : "[ ", 2);
	refused(text, "line 1: too many values");
}

static void names(void **state)
{
	assert_true(profile_name_ok("claude"));
	assert_true(profile_name_ok("a-1"));
	assert_false(profile_name_ok(""));
	assert_false(profile_name_ok("-a"));
	assert_false(profile_name_ok("a/b"));
	assert_false(profile_name_ok("a.b"));
	assert_false(profile_name_ok("base"));
	assert_false(profile_name_ok("a2345678901234567890123456789012"));
}

static void expands(const char *text, bool quoted, const char *want)
{
	json_t *s = profile_expand(text, "/w \"x\"\\y", "/home/agent", quoted);

	assert_non_null(s);
	assert_string_equal(json_string_value(s), want);
	json_decref(s);
}

static void what_is_replaced(void **state)
{
	expands("", false, "");
	expands("cd ${WORKDIR}; $x ${y} $", false, "cd /w \"x\"\\y; $x ${y} $");
	expands("{\"${WORKDIR}\": \"${HOME}\"}", true, "{\"/w \\\"x\\\"\\\\y\": \"/home/agent\"}");
	assert_null(profile_expand("${WORKDIR}", "\xff", "/", true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(least),
		cmocka_unit_test(whole),
		cmocka_unit_test(keys_that_are_wrong),
		cmocka_unit_test(values_that_are_wrong),
		cmocka_unit_test(npm_names),
		cmocka_unit_test(files_stay_at_home),
		cmocka_unit_test(yaml_that_is_not_taken),
		cmocka_unit_test(sizes),
		cmocka_unit_test(names),
		cmocka_unit_test(what_is_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
