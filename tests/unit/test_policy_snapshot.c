/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshots: load(dump(p)) is p, anything wrong makes the whole of it invalid, lack of memory is only that.
 */
#include "policy/snapshot.h"

#include "oom.h"
#include "policies.h"
#include "policy/preset.h"

static char *dump(const struct policy *p)
{
	struct buf b;
	char *text;

	buf_init(&b, SNAPSHOT_MAX_BYTES);
	assert_int_equal(snapshot_dump(p, &b), 0);
	assert_non_null(buf_cstr(&b));
	text = strdup(buf_cstr(&b));
	buf_done(&b);
	return text;
}

static struct policy *load(const char *text)
{
	struct policy *p = NULL;
	struct err err;

	if (snapshot_load(text, strlen(text), &p, &err) < 0)
		fail_msg("%s", err.msg);
	return p;
}

static void same_policies(const struct policy *a, const struct policy *b)
{
	assert_string_equal(a->preset, b->preset);
	assert_true(a->generation == b->generation && a->fallback == b->fallback && a->tls == b->tls);
	assert_int_equal(a->nranges, b->nranges);
	for (size_t i = 0; i < a->nranges; i++)
		assert_true(address_equal(&a->ranges[i].net, &b->ranges[i].net) && a->ranges[i].prefix == b->ranges[i].prefix);
	assert_int_equal(a->rules.n, b->rules.n);
	for (size_t i = 0; i < a->rules.n; i++) {
		const struct rule *ra = &a->rules.rules[i], *rb = &b->rules.rules[i];

		assert_string_equal(ra->id, rb->id);
		assert_true(rule_same(ra, rb) && rule_says_same(ra, rb) && ra->tls == rb->tls && ra->origin == rb->origin &&
			    ra->exfiltration == rb->exfiltration);
		assert_true(ra->source ? rb->source && str_eq(ra->source, rb->source) : !rb->source);
	}
}

static void loading_gives_what_was_dumped(void **state)
{
	auto_(policy) struct policy *p =
		policy_of("allow GET,POST /v1/** ok.test:443\ndeny @box 10.0.0.0/8\nask tcp *.ssh.test:22\nallow tls=splice pin.test\n"
			  "allow localhost:80\nallow ws=no *.ws.test\nask expect=ssh tcp git.test:22\ndeny **\ndeny origin=repository x.test\nallow [2606:2800::1]:443\nrange 10.8.0.0/16\n"
			  "range fd00::/8\ndefault ask\ntls intercept\n");
	auto_(policy) struct policy *again = NULL;
	auto_free char *text = NULL, *second = NULL;

	p->generation = 1234567890123;
	(void)str_format(p->preset, sizeof(p->preset), "balanced");
	p->rules.rules[0].exfiltration = true;
	p->rules.rules[0].source = strdup("a file");
	text = dump(p);
	again = load(text);
	same_policies(p, again);
	second = dump(again);
	assert_string_equal(text, second);
}

static void presets_survive(void **state)
{
	for (size_t i = 0; preset_name(i); i++) {
		auto_(policy) struct policy *p = policy_new(), *again = NULL;
		auto_free char *text = NULL;

		assert_int_equal(preset_apply(p, preset_name(i), NULL), 0);
		text = dump(p);
		again = load(text);
		same_policies(p, again);
	}
}

#define HEAD "{\"schema\":1,\"generation\":7,\"default\":\"deny\",\"tls\":\"auto\","
#define RULES(r) HEAD "\"rules\":[" r "]}"

static void the_least(void **state)
{
	auto_(policy) struct policy *p = load(RULES(""));

	assert_int_equal(p->generation, 7);
	assert_int_equal(p->fallback, RULE_DENY);
	assert_int_equal(p->rules.n, 0);
	assert_string_equal(p->preset, "");
}

static void refusals(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "", "line" },
		{ "null", "" },
		{ "[]", "object" },
		{ "{}", "schema" },
		{ "\xef\xbb\xbf" RULES(""), "line 1" },
		{ RULES("") "x", "line" },
		{ HEAD "\"rules\":[],\"rules\":[]}", "duplicate" },
		{ HEAD "\"rules\":[],\"allow_all\":true}", "unknown key \"allow_all\"" },
		{ HEAD "\"rules\":{}}", "rules" },
		{ "{\"schema\":2,\"generation\":7,\"default\":\"deny\",\"tls\":\"auto\",\"rules\":[]}", "schema" },
		{ "{\"schema\":1,\"generation\":-1,\"default\":\"deny\",\"tls\":\"auto\",\"rules\":[]}", "generation" },
		{ "{\"schema\":1,\"generation\":1.5,\"default\":\"deny\",\"tls\":\"auto\",\"rules\":[]}", "generation" },
		{ "{\"schema\":1,\"generation\":1,\"default\":\"open\",\"tls\":\"auto\",\"rules\":[]}", "default" },
		{ "{\"schema\":1,\"generation\":1,\"tls\":\"auto\",\"rules\":[]}", "default" },
		{ "{\"schema\":1,\"generation\":1,\"default\":\"deny\",\"tls\":\"splice\",\"rules\":[]}", "tls" },
		{ "{\"schema\":1,\"generation\":1,\"default\":\"deny\",\"tls\":\"auto\"}", "rules" },
		{ HEAD "\"permitted_ranges\":[\"10.0.0.1/8\"],\"rules\":[]}", "permitted_ranges" },
		{ HEAD "\"permitted_ranges\":[7],\"rules\":[]}", "permitted_ranges" },
		{ HEAD "\"permitted_ranges\":\"10.0.0.0/8\",\"rules\":[]}", "permitted_ranges" },
		{ HEAD "\"preset\":\"\",\"rules\":[]}", "preset" },
		{ RULES("7"), "rule 1" },
		{ RULES("{\"id\":\"a\",\"action\":\"allow\",\"resource\":\"ok.test\"}"), "rule 1" },
		{ RULES("{\"action\":\"allow\",\"resource\":\"ok.test\",\"origin\":\"user\"}"), "no id" },
		{ RULES("{\"id\":\"a\",\"action\":\"allow\",\"origin\":\"user\"}"), "resource" },
		{ RULES("{\"id\":\"a\",\"action\":\"may\",\"resource\":\"ok.test\",\"origin\":\"user\"}"), "action" },
		{ RULES("{\"id\":\"a b\",\"action\":\"allow\",\"resource\":\"ok.test\",\"origin\":\"user\"}"), "id" },
		{ RULES("{\"id\":\"a\",\"action\":\"allow\",\"resource\":\"**\",\"origin\":\"user\"}"), "open everything" },
		{ RULES("{\"id\":\"a\",\"action\":\"allow\",\"resource\":\"a/b\",\"origin\":\"user\"}"), "rule 1" },
		{ RULES("{\"id\":\"a\",\"action\":\"allow\",\"resource\":\"ok\\u0000.test\",\"origin\":\"user\"}"), "" },
		{ RULES("{\"id\":\"a\",\"action\":\"allow\",\"resource\":\"ok.test\",\"origin\":\"user\",\"methods\":[]}"), "methods" },
		{ RULES("{\"id\":\"a\",\"action\":\"allow\",\"resource\":\"ok.test\",\"origin\":\"user\",\"methods\":\"GET\"}"), "methods" },
		{ RULES("{\"id\":\"a\",\"action\":\"allow\",\"resource\":\"ok.test\",\"origin\":\"user\",\"methods\":[\"GET,PUT\"]}"),
		  "methods" },
		{ RULES("{\"id\":\"a\",\"action\":\"allow\",\"resource\":\"ok.test\",\"origin\":\"user\",\"path\":\"x\"}"), "path" },
		{ RULES("{\"id\":\"a\",\"action\":\"allow\",\"resource\":\"ok.test\",\"origin\":\"user\",\"path\":7}"), "path" },
		{ RULES("{\"id\":\"a\",\"action\":\"allow\",\"resource\":\"ok.test\",\"origin\":\"user\",\"tls\":\"none\"}"), "tls" },
		{ RULES("{\"id\":\"a\",\"action\":\"allow\",\"resource\":\"ok.test\",\"origin\":\"god\"}"), "origin" },
		{ RULES("{\"id\":\"a\",\"action\":\"allow\",\"resource\":\"ok.test\",\"origin\":\"user\",\"websocket\":\"allow\"}"), "websocket" },
		{ RULES("{\"id\":\"a\",\"action\":\"allow\",\"resource\":\"ok.test\",\"origin\":\"user\",\"websocket\":true}"), "websocket" },
		{ RULES("{\"id\":\"a\",\"action\":\"allow\",\"resource\":\"ok.test:22\",\"origin\":\"user\",\"expect\":\"ssh\"}"), "expected" },
		{ RULES("{\"id\":\"a\",\"action\":\"allow\",\"resource\":\"tcp ok.test:22\",\"origin\":\"user\",\"expect\":\"smtp\"}"), "smtp" },
		{ RULES("{\"id\":\"a\",\"action\":\"allow\",\"resource\":\"ok.test\",\"origin\":\"user\",\"exfiltration\":1}"),
		  "exfiltration" },
		{ RULES("{\"id\":\"a\",\"action\":\"allow\",\"resource\":\"ok.test\",\"origin\":\"user\",\"sandbox\":\"\"}"), "sandbox" },
		{ RULES("{\"id\":\"a\",\"action\":\"allow\",\"resource\":\"ok.test\",\"origin\":\"user\",\"source\":\"a\\u0007\"}"),
		  "ASCII" },
		{ RULES("{\"id\":\"a\",\"action\":\"allow\",\"resource\":\"ok.test\",\"origin\":\"user\"},"
			"{\"id\":\"a\",\"action\":\"deny\",\"resource\":\"no.test\",\"origin\":\"user\"}"),
		  "rule 2: there is a rule a" },
		{ RULES("{\"id\":\"a\",\"action\":\"allow\",\"resource\":\"p.test\",\"origin\":\"user\",\"tls\":\"splice\"},"
			"{\"id\":\"b\",\"action\":\"deny\",\"resource\":\"p.test\",\"origin\":\"user\",\"methods\":[\"PUT\"]}"),
		  "must see its requests" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct policy *p = NULL;
		struct err err = { 0 };
		int r = snapshot_load(cases[i].text, strlen(cases[i].text), &p, &err);

		if (r >= 0 || !strstr(err.msg, cases[i].why) || !str_starts(err.msg, "policy: "))
			fail_msg("%s: %d, %s", cases[i].text, r, err.msg);
		assert_null(p);
	}
	assert_int_equal(snapshot_load("", (size_t)SNAPSHOT_MAX_BYTES + 1, &(struct policy *){ NULL }, NULL), -EMSGSIZE);
}

static void a_rule_keeps_what_is_not_said(void **state)
{
	struct rule r = { .action = RULE_ALLOW, .origin = RULE_USER };
	json_t *in = json_pack("{ss}", "resource", "OK.test"), *out;

	assert_int_equal(snapshot_rule_read(in, &r, NULL), 0);
	assert_int_equal(r.action, RULE_ALLOW);
	assert_int_equal(r.origin, RULE_USER);
	(void)str_format(r.id, sizeof(r.id), "x");
	out = snapshot_rule_write(&r);
	assert_string_equal(json_string_value(json_object_get(out, "resource")), "ok.test");
	assert_null(json_object_get(out, "methods"));
	json_decref(in);
	json_decref(out);
	rule_done(&r);
}

static void without_memory(void **state)
{
	static const char text[] = RULES("{\"id\":\"a\",\"action\":\"allow\",\"resource\":\"ok.test\",\"origin\":\"user\",\"methods\":"
					 "[\"GET\"],\"path\":\"/x\",\"sandbox\":\"box\",\"source\":\"s\"}");
	struct policy *p;
	struct buf out;
	struct err err;
	int r;

	for (long n = 0;; n++) {
		p = NULL;
		oom_from(n);
		r = snapshot_load(text, sizeof(text) - 1, &p, &err);
		if (!oom_off())
			break;
		assert_int_equal(r, -ENOMEM);
		assert_null(p);
	}
	assert_int_equal(r, 0);
	for (long n = 0;; n++) {
		buf_init(&out, SNAPSHOT_MAX_BYTES);
		oom_from(n);
		r = snapshot_dump(p, &out);
		if (!oom_off())
			break;
		assert_int_equal(r, -ENOMEM);
		assert_int_equal(buf_len(&out), 0);
		buf_done(&out);
	}
	assert_int_equal(r, 0);
	buf_done(&out);
	/* What does not fit leaves nothing behind. */
	buf_init(&out, 10);
	assert_int_equal(snapshot_dump(p, &out), -EMSGSIZE);
	assert_int_equal(buf_len(&out), 0);
	buf_done(&out);
	policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loading_gives_what_was_dumped), cmocka_unit_test(presets_survive),
		cmocka_unit_test(the_least),                     cmocka_unit_test(refusals),
		cmocka_unit_test(a_rule_keeps_what_is_not_said), cmocka_unit_test(without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
