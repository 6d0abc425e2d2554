/* SPDX-License-Identifier: Apache-2.0
 *
 * Verdicts in words: what they say, who says so, and a remedy that works where it is typed, or none.
 */
#include "policy/explain.h"

#include "policies.h"
#include "policy/preset.h"

struct told {
	const struct policy *p;
	char why[EXPLAIN_MAX], origin[EXPLAIN_ORIGIN_MAX], remedy[EXPLAIN_REMEDY_MAX];
};

static void tell(const struct policy_query *q, void *user)
{
	struct told *t = user;
	struct verdict v;

	policy_decide(t->p, q, &v);
	explain_verdict(q, &v, t->why);
	explain_origin(t->p, &v, t->origin);
	explain_remedy(q, &v, t->remedy);
}

struct row {
	struct asked q;
	const char *why, *origin, *remedy;
};

static void check_rows(const struct policy *p, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct told t = { .p = p };

		with_query(&rows[i].q, tell, &t);
		assert_string_equal(t.why, rows[i].why);
		assert_string_equal(t.origin, rows[i].origin);
		assert_string_equal(t.remedy, rows[i].remedy);
	}
}

static void words(void **state)
{
	static const struct row rows[] = {
		{ { .where = "https evil.test:443" }, "no rule allows evil.test:443", "default",
		  "sbx policy allow network evil.test:443" },
		{ { .where = "https evil.test:443", .sandbox = "box" }, "no rule allows evil.test:443", "default",
		  "sbx policy allow network evil.test:443 --sandbox box" },
		{ { .where = "https evil.test:443", .sandbox = "a b" }, "no rule allows evil.test:443", "default",
		  "sbx policy allow network evil.test:443" },
		{ { .where = "https ok.test:8443" }, "no rule allows ok.test:8443: ok.test:443 is for another port", "default",
		  "sbx policy allow network ok.test:8443" },
		{ { .where = "https ok.test:443" }, "ok.test:443: rule r1 allows ok.test:443", "user", "" },
		{ { .where = "https no.test:443" }, "no.test:443: rule r2 denies no.test", "user",
		  "sbx policy rm network --id r2" },
		{ { .where = "https api.test:443", .request = "POST /v1/x" },
		  "POST api.test:443/v1/x: rule r6 denies api.test, methods POST", "user", "sbx policy rm network --id r6" },
		{ { .where = "https api.test:443", .request = "PUT /v1/x" },
		  "no rule allows PUT api.test:443/v1/x: api.test is for GET only", "default",
		  "sbx policy allow network api.test:443 --method PUT" },
		{ { .where = "https api.test:443", .request = "GET /x" },
		  "no rule allows GET api.test:443/x: api.test is for /v1/** only", "default",
		  "sbx policy allow network api.test:443 --method GET --path /x" },
		{ { .where = "https api.test:443", .request = "GET /a'b$(id)" },
		  "no rule allows GET api.test:443/a'b$(id): api.test is for /v1/** only", "default",
		  "sbx policy allow network api.test:443 --method GET" },
		{ { .where = "https api.test:443", .request = "GET /a$(id)" },
		  "no rule allows GET api.test:443/a$(id): api.test is for /v1/** only", "default",
		  "sbx policy allow network api.test:443 --method GET --path '/a$(id)'" },
		{ { .where = "https api.test:443", .request = "GET /v1/../x" },
		  "no rule allows GET api.test:443: the path has two readings, and api.test is for /v1/** only", "default",
		  "sbx policy allow network api.test:443" },
		{ { .where = "https api.test:443", .request = "X;id /v1/x" },
		  "no rule allows X;id api.test:443/v1/x: api.test is for GET only", "default",
		  "sbx policy allow network api.test:443" },
		{ { .where = "tcp ok.test:443" }, "no rule allows ok.test:443: ok.test:443 is for HTTP and TLS only", "default",
		  "sbx policy allow network 'tcp ok.test:443'" },
		{ { .where = "tcp 93.184.216.34:22" }, "no rule allows 93.184.216.34:22: an address without a name", "default",
		  "sbx policy allow network 93.184.216.34:22" },
		{ { .where = "tcp [2606:2800::1]:22" }, "no rule allows [2606:2800::1]:22: an address without a name", "default",
		  "sbx policy allow network '[2606:2800::1]:22'" },
		{ { .where = "http 10.0.0.1:80" }, "10.0.0.1:80 is not on the internet: RFC 1918 private use", "builtin",
		  "sbx policy allow network 10.0.0.1:80" },
		{ { .where = "https ok.test:443", .address = "10.0.0.1" },
		  "ok.test:443 at 10.0.0.1 is not on the internet: RFC 1918 private use", "builtin",
		  "sbx policy allow network 10.0.0.1:443" },
		{ { .where = "https ok.test:443", .address = "own 93.184.216.34" },
		  "ok.test:443 at 93.184.216.34 is not on the internet: an address of the host", "builtin",
		  "sbx policy allow network 93.184.216.34:443" },
		{ { .where = "https ok.test:443", .address = "link 93.184.216.34" },
		  "ok.test:443 at 93.184.216.34 is not on the internet: a neighbour of the host", "builtin",
		  "sbx policy allow network 93.184.216.34:443" },
		{ { .where = "http [::ffff:10.0.0.1]:80" },
		  "[::ffff:10.0.0.1]:80 is not on the internet: RFC 1918 private use", "builtin", "" },
		{ { .where = "http 127.0.0.1:80" }, "127.0.0.1:80 is not on the internet: RFC 1122 loopback", "builtin",
		  "sbx policy allow network localhost:80" },
		{ { .where = "http localhost:80" }, "localhost:80 is not on the internet (loopback)", "builtin",
		  "sbx policy allow network localhost:80" },
		{ { .where = "http metadata.google.internal:80" },
		  "metadata.google.internal:80 is not on the internet (metadata)", "builtin", "" },
		{ { .where = "http gateway.docker.internal:80" }, "gateway.docker.internal:80 belongs to the sandbox itself",
		  "builtin", "" },
		{ { .where = "http host.docker.internal:80" }, "no rule allows localhost:80, a service of the host", "builtin",
		  "sbx policy allow network localhost:80" },
		{ { .where = "https rep.test:443" }, "rep.test:443: rule r4 denies rep.test", "repository",
		  "sbx policy rm network --id r4" },
		{ { .where = "https ask.test:443" }, "ask.test:443: rule r5 asks about ask.test", "user", "" },
		{ { .where = "https chat.test:443", .request = "WS /x" },
		  "GET chat.test:443/x: rule r7 allows chat.test, but no WebSocket", "user", "sbx policy rm network --id r7" },
		{ { .where = "tcp ssh.test:22" }, "ssh.test:22: rule r8 allows tcp ssh.test:22, expects ssh", "user", "" },
		{ { .where = "https ssh.test:22" }, "no rule allows ssh.test:22: tcp ssh.test:22 is for ssh only", "default",
		  "sbx policy allow network ssh.test:22" },
	};
	auto_(policy) struct policy *p =
		policy_of("allow ok.test:443\ndeny no.test\nallow GET /v1/** api.test\ndeny origin=repository rep.test\nask ask.test\n"
			  "deny POST api.test\nallow ws=no chat.test\nallow expect=ssh tcp ssh.test:22\n");

	check_rows(p, rows, ARRAY_LEN(rows));
}

static void words_of_presets(void **state)
{
	static const struct row open_rows[] = {
		{ { .where = "https any.test:443" }, "any.test:443: allowed by default", "preset open", "" },
		{ { .where = "tcp any.test:22" }, "no rule allows raw TCP to any.test:22", "preset open",
		  "sbx policy allow network 'tcp any.test:22'" },
	};
	auto_(policy) struct policy *open = policy_new(), *balanced = policy_new();
	struct told t = { .p = balanced };

	assert_int_equal(preset_apply(open, "open", NULL), 0);
	assert_int_equal(preset_apply(balanced, "balanced", NULL), 0);
	check_rows(open, open_rows, ARRAY_LEN(open_rows));
	with_query(&(struct asked){ .where = "https github.com:443" }, tell, &t);
	assert_string_equal(t.origin, "preset balanced/default-code-and-containers");
}

/* What the remedies say is taken, and helps. */
static void remedies_work(void **state)
{
	static const struct asked asked[] = {
		{ .where = "https evil.test:443" },
		{ .where = "https api.test:443", .request = "PUT /v1/x" },
		{ .where = "https api.test:443", .request = "GET /x" },
		{ .where = "https api.test:443", .request = "GET /me/info/refs?service=git-receive-pack" },
		{ .where = "tcp ok.test:443" },
		{ .where = "tcp [2606:2800::1]:22" },
		{ .where = "http 10.0.0.1:80" },
		{ .where = "https ok.test:443", .address = "own 93.184.216.34" },
		{ .where = "http host.docker.internal:80" },
	};
	static const char rules[] = "allow ok.test:443\nallow GET /v1/** api.test\nallow POST /x api.test\n";

	for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
		auto_(policy) struct policy *p = policy_of(rules);
		struct told t = { .p = p };
		struct verdict v;
		char line[400] = "allow ", word[300];
		const char *at;

		with_query(&asked[i], tell, &t);
		assert_true(str_starts(t.remedy, "sbx policy allow network "));
		for (at = t.remedy + 25; next_word(&at, word, sizeof(word));)
			if (!str_starts(word, "--")) {
				char *s = word;

				for (char *c = word; *c; c++)
					if (*c != '\'')
						*s++ = *c;
				*s = 0;
				(void)str_format(line + strlen(line), sizeof(line) - strlen(line), "%s ", word);
			}
		line[strlen(line) - 1] = 0;
		policy_line(p, line);
		decide(p, &asked[i], &v);
		if (v.action != RULE_ALLOW)
			fail_msg("%s: %s, still %s", asked[i].where, line, policy_reason_name(v.reason));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),
		cmocka_unit_test(words_of_presets),
		cmocka_unit_test(remedies_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
