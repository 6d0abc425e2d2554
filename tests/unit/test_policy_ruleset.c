/* SPDX-License-Identifier: Apache-2.0
 *
 * Rules by what they are about: the walks find exactly what a look at every rule finds; bounds; lack of memory.
 */
#include "policy/ruleset.h"

#include "oom.h"
#include "policies.h"
#include "policy/index.h"

static void count(void *user, const struct rule *r)
{
	(*(size_t *)user)++;
}

static const char *const hosts[] = { "a", "a.test", "b.a.test", "c.b.a.test", "x.b.a.test", "a.test.a.test", "test", "z.example" };
static const char *const addresses[] = { "10.1.2.3", "10.1.2.4", "93.184.216.34", "2001:db8::1", "2001:db9::1", "::1", "0.0.0.0" };

static void walks_find_what_is_there(void **state)
{
	auto_(policy) struct policy *p =
		policy_of("deny a\ndeny a.test\ndeny *.a.test\ndeny **.a.test\ndeny **.test\ndeny *.test\ndeny b.a.test:443\n"
			  "deny *.b.a.test:80\ndeny GET **.b.a.test\ndeny **\ndeny **:80\ndeny 10.0.0.0/8\ndeny 10.1.2.3\n"
			  "deny 10.1.2.3:80\ndeny 0.0.0.0/0\ndeny 2001:db8::/32\ndeny ::/0\ndeny ::1\ndeny localhost:80\n"
			  "deny GET localhost:80\ndeny @box a.test\ndeny a.test.a.test\n");
	size_t any = 0, localhost = 0;

	ruleset_each_any(&p->rules, count, &any);
	assert_int_equal(any, 2);
	ruleset_each_localhost(&p->rules, count, &localhost);
	assert_int_equal(localhost, 2);
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		size_t found = 0, there = 0;

		ruleset_each_name(&p->rules, hosts[i], count, &found);
		for (size_t k = 0; k < p->rules.n; k++)
			there += rule_covers_name(&p->rules.rules[k], hosts[i]);
		if (found + any != there)
			fail_msg("%s: %zu of %zu", hosts[i], found + any, there);
	}
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		size_t found = 0, there = 0;
		struct cidr c;

		assert_int_equal(cidr_parse(addresses[i], strlen(addresses[i]), &c, NULL), 0);
		ruleset_each_address(&p->rules, &c.net, count, &found);
		for (size_t k = 0; k < p->rules.n; k++)
			there += rule_covers_address(&p->rules.rules[k], &c.net);
		if (found + any != there)
			fail_msg("%s: %zu of %zu", addresses[i], found + any, there);
	}
}

static void ids(void **state)
{
	static const char *const bad[] = { "", "a b", "a/b", "\xc3\xa4", "a\n" };
	struct ruleset rs = { .rules = NULL };
	struct rule r;
	struct err err;

	assert_int_equal(rule_of("allow ok.test", "r:1._-Z", &r, &err), 0);
	assert_int_equal(ruleset_add(&rs, &r, &err), 0);
	assert_null(r.host);
	assert_non_null(ruleset_find(&rs, "r:1._-Z"));
	assert_null(ruleset_find(&rs, "r:1"));
	assert_int_equal(rule_of("allow other.test", "r:1._-Z", &r, &err), 0);
	assert_int_equal(ruleset_add(&rs, &r, &err), -EEXIST);
	assert_string_equal(r.host, "other.test");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		(void)str_format(r.id, sizeof(r.id), "%s", bad[i]);
		assert_int_equal(ruleset_add(&rs, &r, &err), -EINVAL);
	}
	/* A rule that rule_check refuses does not get in. */
	(void)str_format(r.id, sizeof(r.id), "good");
	r.origin = RULE_REPOSITORY;
	assert_int_equal(ruleset_add(&rs, &r, &err), -EINVAL);
	assert_int_equal(rs.n, 1);
	rule_done(&r);
	ruleset_done(&rs);
}

static void a_full_set(void **state)
{
	struct ruleset rs = { .rules = NULL };
	struct rule r;
	struct err err;
	char line[64], id[24];

	for (int i = 0; i < RULESET_MAX; i++) {
		(void)str_format(line, sizeof(line), "allow h%d.test", i);
		(void)str_format(id, sizeof(id), "r%d", i);
		assert_int_equal(rule_of(line, id, &r, &err), 0);
		assert_int_equal(ruleset_add(&rs, &r, &err), 0);
	}
	assert_int_equal(rule_of("allow one.more.test", "more", &r, &err), 0);
	assert_int_equal(ruleset_add(&rs, &r, &err), -ENOSPC);
	rule_done(&r);
	for (int i = 0; i < RULESET_MAX; i += 97) {
		size_t found = 0;

		(void)str_format(line, sizeof(line), "h%d.test", i);
		ruleset_each_name(&rs, line, count, &found);
		assert_int_equal(found, 1);
		(void)str_format(id, sizeof(id), "r%d", i);
		assert_string_equal(ruleset_find(&rs, id)->host, line);
	}
	ruleset_done(&rs);
}

static void without_memory(void **state)
{
	for (long n = 0;; n++) {
		struct ruleset rs = { .rules = NULL };
		struct rule r;
		size_t found = 0;
		int ret;

		assert_int_equal(rule_of("allow ok.test", "r1", &r, NULL), 0);
		oom_from(n);
		ret = ruleset_add(&rs, &r, NULL);
		if (!oom_off()) {
			assert_int_equal(ret, 0);
			ruleset_each_name(&rs, "ok.test", count, &found);
			assert_int_equal(found, 1);
			ruleset_done(&rs);
			return;
		}
		assert_int_equal(ret, -ENOMEM);
		assert_int_equal(rs.n, 0);
		assert_string_equal(r.host, "ok.test");
		ruleset_each_name(&rs, "ok.test", count, &found);
		assert_int_equal(found, 0);
		rule_done(&r);
		ruleset_done(&rs);
	}
}

static void numbers_under_a_hash(void **state)
{
	struct index ix = { .bucket = NULL };
	unsigned int seen = 0;

	assert_int_equal(index_first(&ix, 1), INDEX_END);
	for (uint32_t i = 0; i < 1000; i++) {
		assert_int_equal(index_reserve(&ix), 0);
		index_add(&ix, i % 10);
	}
	for (uint32_t at = index_first(&ix, 3); at != INDEX_END; at = index_next(&ix, at)) {
		assert_int_equal(at % 10, 3);
		seen++;
	}
	assert_int_equal(seen, 100);
	assert_int_equal(index_first(&ix, 10), INDEX_END);
	index_done(&ix);
	/* FNV-1a of RFC draft's "a". */
	assert_true(index_hash(INDEX_SEED, "a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(walks_find_what_is_there), cmocka_unit_test(ids),
		cmocka_unit_test(a_full_set),               cmocka_unit_test(without_memory),
		cmocka_unit_test(numbers_under_a_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
