/* SPDX-License-Identifier: Apache-2.0
 *
 * The presets: what each of them lets through and what not, and malformed ones.
 */
#include "policy/preset.h"

#include "oom.h"
#include "policies.h"

#define DOT "."

static struct policy *preset(const char *name)
{
	struct policy *p = policy_new();
	struct err err;

	if (preset_apply(p, name, &err) < 0)
		fail_msg("%s: %s", name, err.msg);
	assert_int_equal(policy_check(p, &err), 0);
	return p;
}

static enum rule_action action_of(const struct policy *p, const char *where, const char *request)
{
	struct verdict v;

	decide(p, &(struct asked){ .where = where, .request = request }, &v);
	return v.action;
}

static void names_and_aliases(void **state)
{
	static const char *const menu[] = { "open", "balanced", "locked-down", "strict", NULL };

	for (size_t i = 0; i < ARRAY_LEN(menu); i++)
		assert_true(menu[i] ? str_eq(preset_name(i), menu[i]) : !preset_name(i));
	assert_string_equal(preset_resolve("allow-all"), "open");
	assert_string_equal(preset_resolve("deny-all"), "locked-down");
	assert_string_equal(preset_resolve("balanced"), "balanced");
	assert_null(preset_resolve("Balanced"));
	assert_null(preset_resolve(""));
	for (size_t i = 0; preset_name(i); i++) {
		auto_free char *label = NULL, *summary = NULL;

		assert_int_equal(preset_describe(preset_name(i), &label, &summary, NULL), 0);
		assert_true(label[0] >= 'A' && label[0] <= 'Z' && summary[0] && !strchr(summary, '\n'));
	}
}

static void an_unknown_preset(void **state)
{
	auto_(policy) struct policy *p = policy_new();
	char *label = NULL, *summary = NULL;
	struct err err;

	assert_int_equal(preset_apply(p, "permissive", &err), -ENOENT);
	assert_non_null(strstr(err.msg, "open, balanced, locked-down or strict"));
	assert_int_equal(preset_describe("x", &label, &summary, &err), -ENOENT);
	assert_null(label);
}

static void open_and_locked_down(void **state)
{
	auto_(policy) struct policy *open = preset("open"), *locked = preset("locked-down");

	assert_int_equal(action_of(open, "https anything.example:8443", NULL), RULE_ALLOW);
	assert_int_equal(action_of(open, "http anything.example:80", "PUT /x"), RULE_ALLOW);
	assert_int_equal(action_of(open, "http 10.0.0.1:80", NULL), RULE_DENY);
	assert_int_equal(action_of(open, "tcp anything.example:22", NULL), RULE_DENY);
	assert_int_equal(locked->rules.n, 0);
	assert_int_equal(action_of(locked, "https github.com:443", NULL), RULE_DENY);
}

/* Where the tools of a base image go. A registry's own host is any name below its domain. */
static void tools_work_under_balanced(void **state)
{
	static const struct {
		const char *tool, *where;
	} cases[] = {
		{ "apt", "http any" DOT "debian" DOT "org:80" },
		{ "apt", "https any" DOT "debian" DOT "org:443" },
		{ "apt", "http archive.ubuntu" DOT "com:80" },
		{ "apt", "http security.ubuntu" DOT "com:80" },
		{ "npm", "https any" DOT "npmjs" DOT "org:443" },
		{ "npm", "https any" DOT "yarnpkg" DOT "com:443" },
		{ "pip", "https pypi" DOT "org:443" },
		{ "pip", "https files" DOT "pythonhosted" DOT "org:443" },
		{ "cargo", "https index.crates.io:443" },
		{ "cargo", "https static.crates.io:443" },
		{ "cargo", "https crates.io:443" },
		{ "rustup", "https static.rust-lang.org:443" },
		{ "go", "https proxy.golang.org:443" },
		{ "go", "https sum.golang.org:443" },
		{ "go", "https go.dev:443" },
		{ "go", "https dl.google.com:443" },
		{ "git", "https github.com:443" },
		{ "git", "https codeload.github.com:443" },
		{ "git", "https objects.githubusercontent.com:443" },
		{ "git", "https gitlab.com:443" },
		{ "docker", "https any" DOT "docker" DOT "io:443" },
		{ "claude", "https api.anthropic.com:443" },
		{ "claude", "https claude.com:443" },
		{ "codex", "https api.openai.com:443" },
		{ "curl", "http ocsp.digicert.com:80" },
		{ "curl", "http r3.o.lencr.org:80" },
	};
	static const char *const refused[] = {
		"https evil.test:443",     "http github.com:80",     "https github.com:8443",  "tcp github.com:22",
		"https pastebin.com:443",  "https 1.1.1.1:443",      "https dns.google:443",   "https cloudflare-dns.com:443",
		"https github.com.evil.test:443", "https com:443", "http host.docker.internal:80",
	};
	auto_(policy) struct policy *p = preset("balanced");

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (action_of(p, cases[i].where, NULL) != RULE_ALLOW)
			fail_msg("%s: %s", cases[i].tool, cases[i].where);
		assert_int_equal(action_of(p, cases[i].where, "POST /x"), RULE_ALLOW);
	}
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		if (action_of(p, refused[i], NULL) != RULE_DENY)
			fail_msg("%s", refused[i]);
}

static void groups_of_balanced(void **state)
{
	static const struct {
		const char *source;
		size_t min;
	} groups[] = {
		{ "balanced/default-ai-services", 15 },        { "balanced/default-package-managers", 56 },
		{ "balanced/default-code-and-containers", 26 }, { "balanced/default-cloud-infrastructure", 33 },
		{ "balanced/default-os-packages", 14 },         { "balanced/default-cert-validation", 30 },
	};
	auto_(policy) struct policy *p = preset("balanced");
	size_t in_groups = 0, marked = 0;

	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		size_t n = 0;

		for (size_t k = 0; k < p->rules.n; k++)
			n += str_eq(p->rules.rules[k].source, groups[i].source);
		if (n < groups[i].min)
			fail_msg("%s has %zu rules", groups[i].source, n);
		in_groups += n;
	}
	assert_int_equal(in_groups, p->rules.n);
	for (size_t k = 0; k < p->rules.n; k++) {
		const struct rule *r = &p->rules.rules[k];

		/* Names and ports, nothing else; the group's name and the rule's own hash as an id. */
		assert_true(r->action == RULE_ALLOW && r->host && (r->port == 443 || r->port == 80) && r->origin == RULE_PRESET);
		assert_true(str_starts(r->id, strchr(r->source, '/') + 1) && r->id[strlen(r->id) - 9] == ':');
		for (size_t i = 0; i < k; i++)
			if (rule_same(r, &p->rules.rules[i]))
				fail_msg("%s is there twice", r->id);
		marked += r->exfiltration;
	}
	assert_true(marked > 20);
}

static bool is_marked(const struct policy *p, const char *where)
{
	struct verdict v;

	decide(p, &(struct asked){ .where = where }, &v);
	return v.rule && v.rule->exfiltration;
}

static void where_anybody_has_an_account(void **state)
{
	auto_(policy) struct policy *p = preset("balanced");

	assert_true(is_marked(p, "https bucket.s3.amazonaws.com:443"));
	assert_true(is_marked(p, "https gist.github.com:443"));
	assert_true(is_marked(p, "https api.anthropic.com:443"));
	assert_true(is_marked(p, "https salsa.debian.org:443"));
	assert_true(is_marked(p, "https any" DOT "npmjs" DOT "org:443"));
	assert_false(is_marked(p, "https static.crates.io:443"));
	assert_false(is_marked(p, "https proxy.golang.org:443"));
}

static void strict_reads_only(void **state)
{
	static const struct {
		const char *where, *request;
		enum rule_action action;
	} cases[] = {
		{ "https any" DOT "npmjs" DOT "org:443", "GET /left-pad", RULE_ALLOW },
		{ "https any" DOT "npmjs" DOT "org:443", "HEAD /left-pad", RULE_ALLOW },
		{ "https any" DOT "npmjs" DOT "org:443", "PUT /evil", RULE_DENY },
		{ "http any" DOT "debian" DOT "org:80", "GET /x.deb", RULE_ALLOW },
		{ "https bucket.s3.amazonaws.com:443", "GET /x", RULE_ALLOW },
		{ "https bucket.s3.amazonaws.com:443", "PUT /x", RULE_DENY },
		{ "https bucket.s3.amazonaws.com:443", "POST /", RULE_DENY },
		{ "https github.com:443", "GET /a/b/info/refs?service=git-upload-pack", RULE_ALLOW },
		{ "https github.com:443", "POST /a/b/git-upload-pack", RULE_ALLOW },
		{ "https github.com:443", "GET /a/b/info/refs?service=git-receive-pack", RULE_DENY },
		{ "https github.com:443", "POST /a/b/git-receive-pack", RULE_DENY },
		{ "https github.com:443", "POST /a/b/issues", RULE_DENY },
		{ "https api.github.com:443", "POST /gists", RULE_DENY },
		{ "https api.anthropic.com:443", "POST /v1/messages", RULE_ALLOW },
		{ "http ocsp.digicert.com:80", "POST /", RULE_ALLOW },
	};
	auto_(policy) struct policy *p = preset("strict");
	struct verdict v;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (action_of(p, cases[i].where, cases[i].request) != cases[i].action)
			fail_msg("%s %s", cases[i].where, cases[i].request);
	decide(p, &(struct asked){ .where = "https api.anthropic.com:443" }, &v);
	assert_true(v.needs_inspection);
	assert_string_equal(p->preset, "strict");
}

/* Rules keep their ids when a preset is made again: a user may have noted one. */
static void ids_stay(void **state)
{
	auto_(policy) struct policy *a = preset("balanced"), *b = preset("balanced");

	for (size_t i = 0; i < a->rules.n; i++)
		assert_string_equal(a->rules.rules[i].id, b->rules.rules[i].id);
}

static const char *find_text(void *user, const char *name)
{
	return str_eq(name, "base") ? user : NULL;
}

#define PRESET(rest) "{\"schema\":1,\"name\":\"x\",\"default\":\"deny\",\"tls\":\"auto\"" rest "}"

static void malformed_ones(void **state)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{\"schema\":2,\"name\":\"x\",\"default\":\"deny\",\"tls\":\"auto\"}",
		"{\"schema\":1,\"name\":\"x\",\"default\":\"maybe\",\"tls\":\"auto\"}",
		"{\"schema\":1,\"name\":\"x\",\"default\":\"deny\",\"tls\":\"splice\"}",
		PRESET(",\"extends\":\"other\""),
		PRESET(",\"groups\":[{\"rules\":[]}]"),
		PRESET(",\"groups\":[{\"name\":\"g\"}]"),
		PRESET(",\"groups\":[{\"name\":\"g\",\"rules\":[\"http://x\"]}]"),
		PRESET(",\"groups\":[{\"name\":\"g\",\"rules\":[7]}]"),
		PRESET(",\"groups\":[{\"name\":\"g\",\"rules\":[\"a.test\",\"a.test\"]}]"),
	};
	static char base[] = PRESET(",\"groups\":[{\"name\":\"g\",\"rules\":[\"a.test\"]}]");
	auto_(policy) struct policy *good = policy_new();
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		auto_(policy) struct policy *p = policy_new();

		if (preset_apply_text(p, bad[i], find_text, base, &err) >= 0)
			fail_msg("%s", bad[i]);
	}
	assert_int_equal(preset_apply_text(good, PRESET(",\"extends\":\"base\",\"limits\":[{\"groups\":[\"g\"],\"methods\":[\"GET\"]}]"),
					   find_text, base, &err),
			 0);
	assert_string_equal(good->rules.rules[0].methods, "GET");
	assert_string_equal(good->rules.rules[0].source, "x/g");
}

static void without_memory(void **state)
{
	/* Every tenth allocation: there are thousands. */
	for (long n = 0;; n = n * 11 / 10 + 1) {
		auto_(policy) struct policy *p = policy_new();
		struct err err;
		int r;

		oom_from(n);
		r = preset_apply(p, "strict", &err);
		if (!oom_off()) {
			assert_int_equal(r, 0);
			return;
		}
		assert_true(r < 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_aliases),
		cmocka_unit_test(an_unknown_preset),
		cmocka_unit_test(open_and_locked_down),
		cmocka_unit_test(tools_work_under_balanced),
		cmocka_unit_test(groups_of_balanced),
		cmocka_unit_test(where_anybody_has_an_account),
		cmocka_unit_test(strict_reads_only),
		cmocka_unit_test(ids_stay),
		cmocka_unit_test(malformed_ones),
		cmocka_unit_test(without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
