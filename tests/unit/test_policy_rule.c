/* SPDX-License-Identifier: Apache-2.0
 *
 * The grammar of rules: what is taken, in which form it is kept, and what is refused with which words.
 */
#include "policies.h"

static void resources_and_their_form(void **state)
{
	static const struct {
		const char *in, *out;
		enum rule_kind kind;
	} cases[] = {
		{ "ok.test", "ok.test", RULE_NAME },
		{ "OK.Test.", "ok.test", RULE_NAME },
		{ "ok.test:443", "ok.test:443", RULE_NAME },
		{ "localhost:80", "localhost:80", RULE_LOCALHOST },
		{ "LOCALHOST:80", "localhost:80", RULE_LOCALHOST },
		{ "single", "single", RULE_NAME },
		{ "*.wild.test", "*.wild.test", RULE_BELOW },
		{ "**.deep.test:80", "**.deep.test:80", RULE_DEEP },
		{ "**", "**", RULE_ANY },
		{ "**:80", "**:80", RULE_ANY },
		{ "10.1.2.3", "10.1.2.3", RULE_RANGE },
		{ "10.1.2.3:5432", "10.1.2.3:5432", RULE_RANGE },
		{ "10.1.0.0/16", "10.1.0.0/16", RULE_RANGE },
		{ "10.1.0.0/16:5432", "10.1.0.0/16:5432", RULE_RANGE },
		{ "10.1.2.3/32", "10.1.2.3", RULE_RANGE },
		{ "2606:2800::1", "2606:2800::1", RULE_RANGE },
		{ "[2606:2800::1]", "2606:2800::1", RULE_RANGE },
		{ "[2606:2800::1]:443", "[2606:2800::1]:443", RULE_RANGE },
		{ "2606:2800::/32", "2606:2800::/32", RULE_RANGE },
		{ "[2606:2800::/32]:443", "[2606:2800::/32]:443", RULE_RANGE },
		{ "64:ff9b::808:808", "64:ff9b::808:808", RULE_RANGE },
		{ "tcp ssh.test:22", "tcp ssh.test:22", RULE_NAME },
		{ "tcp   *.ssh.test:22", "tcp *.ssh.test:22", RULE_BELOW },
		{ "tcp 10.1.2.3:22", "10.1.2.3:22", RULE_RANGE },
		{ "tcp localhost:22", "localhost:22", RULE_LOCALHOST },
		{ "xn--bcher-kva.test", "xn--bcher-kva.test", RULE_NAME },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rule r = { .action = RULE_DENY }, again = { .action = RULE_DENY };
		char text[RULE_RESOURCE_MAX];
		struct err err;

		if (rule_parse(cases[i].in, &r, &err) < 0)
			fail_msg("%s: %s", cases[i].in, err.msg);
		assert_int_equal(r.kind, cases[i].kind);
		rule_print(&r, text);
		assert_string_equal(text, cases[i].out);
		/* The form is its own form. */
		assert_int_equal(rule_parse(text, &again, &err), 0);
		assert_true(rule_same(&r, &again));
		rule_done(&r);
		rule_done(&again);
	}
}

static void refused_resources(void **state)
{
	static const struct {
		const char *in, *why;
	} cases[] = {
		{ "", "" },
		{ "*", "one label" },
		{ "***", "wildcard" },
		{ "**.", "empty" },
		{ "*.", "empty" },
		{ "ok.*", "beginning" },
		{ "*ok.test", "beginning" },
		{ "a.*.test", "beginning" },
		{ "*.*.test", "beginning" },
		{ "**.*.test", "beginning" },
		{ "ok.test/path", "--path" },
		{ "http://ok.test", "scheme" },
		{ "ok.test,b.test", "one resource" },
		{ "ok.test:0", "port" },
		{ "ok.test:", "port" },
		{ "ok.test:+443", "port" },
		{ "ok.test: 443", "port" },
		{ "ok.test:0443", "port" },
		{ "ok.test:65536", "port" },
		{ "ok.test:-1", "port" },
		{ "ok.test:https", "port" },
		{ "ok.test:443:80", "" },
		{ "\xef\xbb\xbfok.test", "ASCII" },
		{ "b\xc3\xbc" "cher.test", "ASCII" },
		{ "ok test", "byte" },
		{ " ok.test", "byte" },
		{ "ok.test ", "byte" },
		{ "u@ok.test", "user name" },
		{ ".ok.test", "empty" },
		{ "a..test", "empty" },
		{ "127.1", "number" },
		{ "0x7f.0.0.1", "number" },
		{ "2130706433", "number" },
		{ "1.2.3.4.", "number" },
		{ "*.1.2.3.4", "wildcard" },
		{ "10.0.0.1/8", "" },
		{ "10.0.0.0/33", "" },
		{ "[::1", "[address]:port" },
		{ "[::1]443", "[address]:port" },
		{ "[ok.test]:443", "brackets" },
		{ "fe80::1%eth0", "" },
		{ "::ffff:1.2.3.4", "IPv4 address" },
		{ "2002:102:304::1", "IPv4 address" },
		{ "localhost", "localhost:PORT" },
		{ "*.localhost:80", "below localhost" },
		{ "host.docker.internal:80", "localhost:PORT" },
		{ "gateway.docker.internal", "localhost:PORT" },
		{ "**.docker.internal", "localhost:PORT" },
		{ "tcp", NULL }, /* a name */
		{ "tcp ", "" },
		{ "udp ok.test:53", "byte" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rule r = { .action = RULE_DENY };
		struct err err = { 0 };
		int ret = rule_parse(cases[i].in, &r, &err);

		if (!cases[i].why) {
			assert_int_equal(ret, 0);
			rule_done(&r);
			continue;
		}
		if (ret != -EINVAL || !strstr(err.msg, cases[i].why))
			fail_msg("'%s': %d, %s", cases[i].in, ret, err.msg);
		assert_null(r.host);
	}
}

static void a_long_resource(void **state)
{
	char text[RULE_RESOURCE_MAX + 2];
	struct rule r = { .action = RULE_DENY };
	struct err err;

	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = 0;
	assert_int_equal(rule_parse(text, &r, &err), -EINVAL);
	/* Not more of it is shown than fits. */
	assert_true(strlen(err.msg) < sizeof(err.msg) - 1);
}

static void refused_rules(void **state)
{
	static const struct {
		const char *line, *why;
	} cases[] = {
		{ "allow **", "sbx policy init open" },
		{ "ask **", "sbx policy init open" },
		{ "allow **:443", "sbx policy init open" },
		{ "allow *.com", "anybody registers" },
		{ "allow **.com", "anybody registers" },
		{ "allow *.co.uk", "anybody registers" },
		{ "ask **.com.au", "anybody registers" },
		{ "allow 0.0.0.0/0", "too wide" },
		{ "allow ::/0", "too wide" },
		{ "allow 10.0.0.0/7", "" },
		{ "allow 8.0.0.0/7", "too wide" },
		{ "allow 2600::/15", "" },
		{ "allow GET 10.0.0.1", "HTTP" },
		{ "allow /x tcp ok.test:22", "HTTP" },
		{ "deny tcp ok.test:22", "deny the host" },
		{ "allow tcp ok.test", "port" },
		{ "allow tls=splice *.ok.test", "exact name" },
		{ "allow tls=splice GET ok.test", "exact name" },
		{ "deny tls=intercept ok.test", "HTTPS" },
		{ "allow tls=intercept 93.184.216.34", "HTTPS" },
		{ "allow origin=repository ok.test", "only deny" },
		{ "ask origin=repository ok.test", "only deny" },
		{ "allow origin=agent 10.0.0.1", "only ask for names" },
		{ "allow origin=agent localhost:80", "only ask for names" },
	};
	static const char *const taken[] = {
		"deny **", "deny **.com", "deny 0.0.0.0/0", "allow origin=preset **", "allow 8.0.0.0/8", "allow 2600::/16",
		"allow com", "allow **.x.co.uk", "deny origin=repository ok.test", "deny origin=agent 10.0.0.1",
		"allow origin=agent *.ok.test", "allow GET localhost:80", "allow tls=splice ok.test:443", "ask GET,POST /x/** *.ok.test",
	};
	struct rule r;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = { 0 };

		if (rule_of(cases[i].line, "x", &r, &err) != -EINVAL || !strstr(err.msg, cases[i].why))
			fail_msg("%s: %s", cases[i].line, err.msg);
	}
	for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
		struct err err = { 0 };

		if (rule_of(taken[i], "x", &r, &err) < 0)
			fail_msg("%s", err.msg);
		rule_done(&r);
	}
}

static void methods_and_paths(void **state)
{
	static const struct {
		const char *methods, *path, *ret_methods, *ret_path;
	} cases[] = {
		{ NULL, NULL, NULL, NULL },
		{ "ANY", "/**", NULL, NULL },
		{ "any", NULL, NULL, NULL },
		{ "HEAD,GET", NULL, "GET,HEAD", NULL },
		{ "get,GET,head", "/x", "GET,HEAD", "/x" },
		{ "M-SEARCH", "/%61/**", "M-SEARCH", "/a/**" },
	};
	static const char *const bad[] = { "", ",", "GET,", ",GET", "GET,,HEAD", "GET HEAD", "GET,ANY", "1GET", "G\xc3\x84T",
					   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
					   "A,B,C,D,E,F,G,H,I,J,K,L,M,N,O,P,Q" };
	struct rule r = { .action = RULE_DENY };
	struct err err;

	assert_int_equal(rule_parse("ok.test", &r, &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(rule_set_http(&r, cases[i].methods, cases[i].path, &err), 0);
		assert_true(r.methods ? cases[i].ret_methods && str_eq(r.methods, cases[i].ret_methods) : !cases[i].ret_methods);
		assert_true(r.path ? cases[i].ret_path && str_eq(r.path, cases[i].ret_path) : !cases[i].ret_path);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (rule_set_http(&r, bad[i], NULL, &err) != -EINVAL)
			fail_msg("%s", bad[i]);
	assert_int_equal(rule_set_http(&r, "PUT", "nothing", &err), -EINVAL);
	/* A refusal leaves what was there. */
	assert_string_equal(r.methods, "M-SEARCH");
	assert_true(rule_has_method(&r, "M-SEARCH"));
	assert_false(rule_has_method(&r, "M-SEARCHES"));
	assert_false(rule_has_method(&r, "M"));
	rule_done(&r);
}

static void sameness(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} cases[] = {
		{ "allow ok.test", "deny OK.test.", true },
		{ "allow ok.test", "allow ok.test:443", false },
		{ "allow ok.test", "allow *.ok.test", false },
		{ "allow GET,HEAD ok.test", "allow HEAD,GET ok.test", true },
		{ "allow GET ok.test", "allow ok.test", false },
		{ "allow /x ok.test", "allow /%78 ok.test", true },
		{ "allow /x ok.test", "allow /y ok.test", false },
		{ "allow ok.test", "allow @box ok.test", false },
		{ "allow @box ok.test", "allow @box ok.test", true },
		{ "allow 10.0.0.0/8", "allow 10.0.0.0/9", false },
		{ "allow 10.0.0.1/32", "allow 10.0.0.1", true },
		{ "allow tcp ok.test:22", "allow ok.test:22", false },
		{ "allow tcp ok.test:22", "allow expect=ssh tcp ok.test:22", true },
		{ "allow ok.test", "allow ws=no ok.test", true },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rule a, b;

		assert_int_equal(rule_of(cases[i].a, "a", &a, NULL), 0);
		assert_int_equal(rule_of(cases[i].b, "b", &b, NULL), 0);
		if (rule_same(&a, &b) != cases[i].same || rule_same(&b, &a) != cases[i].same)
			fail_msg("%s, %s", cases[i].a, cases[i].b);
		assert_int_equal(rule_says_same(&a, &b), a.action == b.action && !strstr(cases[i].b, "ws=") && !strstr(cases[i].b, "expect="));
		rule_done(&a);
		rule_done(&b);
	}
}

/* From wide to narrow. */
static void narrower_rules_weigh_more(void **state)
{
	static const char *const lines[] = {
		"deny **",           "deny **:443",           "deny **.test",      "deny **.a.test", "deny *.a.test",
		"deny *.a.test:443", "deny **.b.a.test",      "deny *.b.a.test",   "deny a.test",    "deny GET a.test",
		"deny /x a.test",    "deny GET /x a.test",    "deny a.test:443",   "deny GET /x a.test:443",
	};
	unsigned int before = 0;

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct rule r;

		assert_int_equal(rule_of(lines[i], "x", &r, NULL), 0);
		if (i > 0 && rule_weight(&r) <= before)
			fail_msg("%s weighs %u, the one before %u", lines[i], rule_weight(&r), before);
		before = rule_weight(&r);
		rule_done(&r);
	}
}

static void coverage(void **state)
{
	static const struct {
		const char *line, *host;
		bool covers;
	} cases[] = {
		{ "deny ok.test", "ok.test", true },        { "deny ok.test", "a.ok.test", false },
		{ "deny *.ok.test", "a.ok.test", true },    { "deny *.ok.test", "ok.test", false },
		{ "deny *.ok.test", "a.b.ok.test", false }, { "deny *.ok.test", "xok.test", false },
		{ "deny **.ok.test", "a.b.ok.test", true }, { "deny **.ok.test", "ok.test", false },
		{ "deny **", "anything", true },            { "deny 10.0.0.0/8", "10.0.0.1", false },
		{ "deny localhost:1", "localhost", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rule r;

		assert_int_equal(rule_of(cases[i].line, "x", &r, NULL), 0);
		if (rule_covers_name(&r, cases[i].host) != cases[i].covers)
			fail_msg("%s, %s", cases[i].line, cases[i].host);
		rule_done(&r);
	}
}

static void names_of_enums(void **state)
{
	enum rule_action action = RULE_ASK;
	enum rule_origin origin = RULE_AGENT;
	enum rule_tls tls = RULE_TLS_SPLICE;
	enum rule_expect expect = RULE_EXPECT_NONE;

	for (int i = RULE_DENY; i <= RULE_ALLOW; i++)
		assert_true(rule_action_from_name(rule_action_name((enum rule_action)i), &action) && (int)action == i);
	for (int i = RULE_PRESET; i <= RULE_REPOSITORY; i++)
		assert_true(rule_origin_from_name(rule_origin_name((enum rule_origin)i), &origin) && (int)origin == i);
	for (int i = RULE_TLS_AUTO; i <= RULE_TLS_SPLICE; i++)
		assert_true(rule_tls_from_name(rule_tls_name((enum rule_tls)i), &tls) && (int)tls == i);
	for (int i = RULE_EXPECT_NONE; i <= RULE_EXPECT_SSH; i++)
		assert_true(rule_expect_from_name(rule_expect_name((enum rule_expect)i), &expect) && (int)expect == i);
	assert_false(rule_expect_from_name("smtp", &expect));
	assert_false(rule_action_from_name("Allow", &action) || rule_action_from_name("", &action));
	assert_false(rule_origin_from_name("x", &origin) || rule_tls_from_name("x", &tls));
	assert_int_equal(action, RULE_ALLOW);
}

static void suffixes(void **state)
{
	static const struct {
		const char *host;
		bool is;
	} cases[] = { { "com", true },  { "co.uk", true }, { "com.au", true },     { "example.com", false },
		      { "x.uk", false }, { "co.example", false }, { "a.co.uk", false }, { "test", true } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(rule_is_suffix(cases[i].host), cases[i].is);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(resources_and_their_form),
		cmocka_unit_test(refused_resources),
		cmocka_unit_test(a_long_resource),
		cmocka_unit_test(refused_rules),
		cmocka_unit_test(methods_and_paths),
		cmocka_unit_test(sameness),
		cmocka_unit_test(narrower_rules_weigh_more),
		cmocka_unit_test(coverage),
		cmocka_unit_test(names_of_enums),
		cmocka_unit_test(suffixes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
