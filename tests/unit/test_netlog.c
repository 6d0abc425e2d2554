/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines of a decision log: those that follow the page, and everything else.
 */
#include "wire/netlog.h"

#include <errno.h>

#include "base/own.h"
#include "base/str.h"
#include "unit.h"

#define DECISION(time, verdict, host, port, entry, protocol, inspect, reason, rule, rest)                                     \
	"{\"v\":1,\"event\":\"decision\",\"seq\":41,\"time\":\"" time "\",\"sandbox\":\"x\",\"conn\":\"c7\",\"req\":0,\"entry\":\"" entry \
	"\",\"protocol\":\"" protocol "\",\"host\":\"" host "\",\"port\":" port ",\"verdict\":\"" verdict "\",\"reason\":\"" reason      \
	"\",\"rule\":\"" rule "\",\"origin\":\"user\",\"inspect\":\"" inspect "\"" rest "}"
#define TIME "2026-11-24T10:15:25.123Z"
#define GOOD(rest) DECISION(TIME, "deny", "ok.test", "443", "transparent", "tls", "none", "no_rule", "default-deny", rest)

static void a_decision(void **state)
{
	static const char text[] = GOOD(",\"repeated\":9");
	struct netlog l;
	json_t *o = NULL;

	assert_int_equal(netlog_parse(text, sizeof(text) - 1, &l, &o), 0);
	assert_int_equal(l.event, NETLOG_DECISION);
	assert_int_equal(l.verdict, NETLOG_DENY);
	assert_int_equal(l.count, 10);
	assert_string_equal(l.host, "ok.test");
	assert_int_equal(l.kind, DEST_NAME);
	assert_int_equal(l.port, 443);
	assert_string_equal(l.reason, "no_rule");
	assert_string_equal(l.rule, "default-deny");
	/* `date -u -d 2026-11-24T10:15:25Z +%s` */
	assert_true(l.time_ms == UINT64_C(1795515325123));
	assert_int_equal(json_integer_value(json_object_get(o, "seq")), 41);
	json_decref(o);
}

static void by_which_way(void **state)
{
	static const struct {
		const char *text;
		enum netlog_way way;
		const char *name;
	} cases[] = {
		{ DECISION(TIME, "allow", "ok.test", "80", "forward", "http", "none", "rule", "r1", ""), NETLOG_FORWARD, "forward" },
		{ DECISION(TIME, "allow", "ok.test", "443", "forward", "tls", "intercept", "rule", "r1", ""), NETLOG_FORWARD, "forward" },
		{ DECISION(TIME, "allow", "ok.test", "443", "forward", "tls", "splice", "rule", "r1", ""), NETLOG_FORWARD_BYPASS,
		  "forward-bypass" },
		{ DECISION(TIME, "deny", "ok.test", "443", "forward", "tls", "none", "no_rule", "default-deny", ""), NETLOG_FORWARD,
		  "forward" },
		{ DECISION(TIME, "allow", "1.2.3.4", "22", "transparent", "tcp", "none", "rule", "r1", ""), NETLOG_TRANSPARENT,
		  "transparent" },
		{ DECISION(TIME, "allow", "2606:2800::1", "22", "transparent", "tcp", "none", "rule", "r1", ""), NETLOG_TRANSPARENT,
		  "transparent" },
		{ DECISION(TIME, "deny", "", "0", "forward", "http", "none", "bad_request", "builtin", ""), NETLOG_FORWARD, "forward" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct netlog l;

		if (netlog_parse(cases[i].text, strlen(cases[i].text), &l, NULL) < 0)
			fail_msg("%s", cases[i].text);
		assert_int_equal(l.way, cases[i].way);
		assert_string_equal(netlog_way_name(l.way), cases[i].name);
		assert_int_equal(l.count, 1);
	}
}

static void an_end(void **state)
{
	static const char text[] = "{\"v\":1,\"event\":\"end\",\"seq\":42,\"time\":\"" TIME "\",\"conn\":\"c7\",\"req\":0,\"status\":200}";
	struct netlog l;

	assert_int_equal(netlog_parse(text, sizeof(text) - 1, &l, NULL), 0);
	assert_int_equal(l.event, NETLOG_END);
}

static void everything_else(void **state)
{
	static const char *const bad[] = {
		"",
		"{}",
		"[]",
		"null",
		"7",
		"no json",
		GOOD("") "x",
		GOOD(",\"seq\":42"), /* twice */
		"{\"v\":2,\"event\":\"end\",\"time\":\"" TIME "\"}",
		"{\"v\":1,\"event\":\"begin\",\"time\":\"" TIME "\"}",
		"{\"v\":1,\"event\":\"end\"}",
		DECISION("2026-11-24T10:15:25Z", "deny", "ok.test", "443", "transparent", "tls", "none", "a", "b", ""),
		DECISION("2026-11-24 10:15:25.123Z", "deny", "ok.test", "443", "transparent", "tls", "none", "a", "b", ""),
		DECISION("2026-13-24T10:15:25.123Z", "deny", "ok.test", "443", "transparent", "tls", "none", "a", "b", ""),
		DECISION("2026-00-24T10:15:25.123Z", "deny", "ok.test", "443", "transparent", "tls", "none", "a", "b", ""),
		DECISION("2026-11-24T24:15:25.123Z", "deny", "ok.test", "443", "transparent", "tls", "none", "a", "b", ""),
		DECISION("1969-11-24T10:15:25.123Z", "deny", "ok.test", "443", "transparent", "tls", "none", "a", "b", ""),
		DECISION("-026-11-24T10:15:25.123Z", "deny", "ok.test", "443", "transparent", "tls", "none", "a", "b", ""),
		DECISION(TIME, "ask", "ok.test", "443", "transparent", "tls", "none", "a", "b", ""),
		DECISION(TIME, "deny", "OK.test", "443", "transparent", "tls", "none", "a", "b", ""),
		DECISION(TIME, "deny", "ok.test.", "443", "transparent", "tls", "none", "a", "b", ""),
		DECISION(TIME, "deny", "ok\\u001b[2J", "443", "transparent", "tls", "none", "a", "b", ""),
		DECISION(TIME, "deny", "ok.test", "0", "transparent", "tls", "none", "a", "b", ""),
		DECISION(TIME, "deny", "ok.test", "65536", "transparent", "tls", "none", "a", "b", ""),
		DECISION(TIME, "deny", "ok.test", "\"443\"", "transparent", "tls", "none", "a", "b", ""),
		DECISION(TIME, "deny", "", "443", "transparent", "tls", "none", "a", "b", ""),
		DECISION(TIME, "deny", "ok.test", "443", "dns", "tls", "none", "a", "b", ""),
		DECISION(TIME, "deny", "ok.test", "443", "transparent", "udp", "none", "a", "b", ""),
		DECISION(TIME, "deny", "ok.test", "443", "transparent", "tls", "mitm", "a", "b", ""),
		DECISION(TIME, "deny", "ok.test", "443", "transparent", "tls", "none", "", "b", ""),
		DECISION(TIME, "deny", "ok.test", "443", "transparent", "tls", "none", "a", "b c", ""),
		DECISION(TIME, "deny", "ok.test", "443", "transparent", "tls", "none", "a",
			 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", ""),
		GOOD(",\"repeated\":-1"),
		GOOD(",\"repeated\":\"1\""),
		GOOD(",\"repeated\":1000000001"),
	};
	auto_free char *longest = malloc(NETLOG_LINE_MAX + 2);
	struct netlog l = { .count = 77 };
	json_t *o = NULL;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (netlog_parse(bad[i], strlen(bad[i]), &l, &o) != -EINVAL)
			fail_msg("%s", bad[i]);
		assert_int_equal(l.count, 77);
		assert_null(o);
	}
	assert_non_null(longest);
	memset(longest, ' ', NETLOG_LINE_MAX + 1);
	memcpy(longest, GOOD(""), strlen(GOOD("")));
	assert_int_equal(netlog_parse(longest, NETLOG_LINE_MAX + 1, &l, NULL), -EINVAL);
	assert_int_equal(netlog_parse(longest, NETLOG_LINE_MAX, &l, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_decision),
		cmocka_unit_test(by_which_way),
		cmocka_unit_test(an_end),
		cmocka_unit_test(everything_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
