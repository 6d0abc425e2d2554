/* SPDX-License-Identifier: Apache-2.0
 *
 * portmap: what can be written, what it means, and what is refused with which words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/own.h"
#include "wire/portmap.h"

static void means(const char *spec, const char *want)
{
	struct portmap m;
	struct err err = { 0 };
	auto_free char *got = NULL;
	json_t *o;

	assert_int_equal(portmap_parse(spec, &m, &err), 0);
	o = portmap_write(&m);
	got = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	assert_string_equal(got, want);
}

static void refused(const char *spec, const char *word)
{
	struct portmap m;
	struct err err = { 0 };

	if (portmap_parse(spec, &m, &err) == 0)
		fail_msg("'%s' was taken", spec);
	assert_int_equal(err.kind, ERR_INVALID);
	if (!strstr(err.msg, word))
		fail_msg("'%s' does not name '%s'", err.msg, word);
}

static void what_can_be_written(void **state)
{
	means("3000", "{\"host_ip\":\"127.0.0.1\",\"host_port\":0,\"sandbox_port\":3000,\"protocol\":\"tcp\"}");
	means("8080:3000/tcp", "{\"host_ip\":\"127.0.0.1\",\"host_port\":8080,\"sandbox_port\":3000,\"protocol\":\"tcp\"}");
	means("0.0.0.0:8080:3000", "{\"host_ip\":\"0.0.0.0\",\"host_port\":8080,\"sandbox_port\":3000,\"protocol\":\"tcp\"}");
	means("[::1]:8080:3000", "{\"host_ip\":\"::1\",\"host_port\":8080,\"sandbox_port\":3000,\"protocol\":\"tcp\"}");
	means("0:0:0:0::1:8080:3000/tcp6", "{\"host_ip\":\"::1\",\"host_port\":8080,\"sandbox_port\":3000,\"protocol\":\"tcp\"}");
	means("8080:3000/tcp6", "{\"host_ip\":\"::1\",\"host_port\":8080,\"sandbox_port\":3000,\"protocol\":\"tcp\"}");
	means("127.0.0.1:0:65535", "{\"host_ip\":\"127.0.0.1\",\"host_port\":0,\"sandbox_port\":65535,\"protocol\":\"tcp\"}");
}

static void what_is_refused(void **state)
{
	refused("", "names no port");
	refused("http", "names no port");
	refused("0", "1 to 65535");
	refused("65536", "1 to 65535");
	refused("70000:80", "1 to 65535");
	refused(":80", "names no port");
	refused("80:", "names no port");
	refused(":1:80", "names no port");
	refused("80/", "names no port");
	refused("80/tcp/tcp", "names no port");
	refused("53:53/udp", "only TCP");
	refused("localhost:80:80", "no IP address");
	refused("1.2.3:80:80", "no IP address");
	refused("127.0.0.1:80:80/tcp6", "no address for tcp6");
	refused("[::1]:80:80/tcp4", "no address for tcp4");
	refused("-1", "names no port");
	refused("+80", "names no port");
	refused(" 80", "names no port");
	refused("80\n", "80\\x0a");
}

static void fits(const char *match, const char *spec, bool want)
{
	struct portmap_match m;
	struct portmap p;
	struct err err = { 0 };

	assert_int_equal(portmap_parse(spec, &p, &err), 0);
	assert_int_equal(portmap_parse_match(match, &m, &err), 0);
	assert_int_equal(portmap_fits(&m, &p), want);
}

static void what_a_match_means(void **state)
{
	struct portmap_match m;
	struct err err;

	fits("3000", "8080:3000", true);
	fits("3000", "[::1]:8080:3000", true);
	fits("8080:3000", "0.0.0.0:8080:3000", true);
	fits("127.0.0.1:8080:3000/tcp", "0.0.0.0:8080:3000", false);
	fits("8081:3000", "8080:3000", false);
	fits("3001", "8080:3000", false);
	assert_true(portmap_parse_match("0:3000", &m, &err) < 0);
}

static void json_is_read_strictly(void **state)
{
	static const struct {
		const char *text, *word;
	} bad[] = {
		{ "{}", "sandbox_port" },
		{ "[]", "sandbox_port" },
		{ "{\"sandbox_port\":\"80\"}", "sandbox_port" },
		{ "{\"sandbox_port\":0}", "1 to 65535" },
		{ "{\"sandbox_port\":80,\"host_port\":-1}", "host_port" },
		{ "{\"sandbox_port\":80,\"host_port\":65536}", "host_port" },
		{ "{\"sandbox_port\":80,\"host_ip\":1}", "host_ip" },
		{ "{\"sandbox_port\":80,\"host_ip\":\"a\\u0007\"}", "a\\x07" },
		{ "{\"sandbox_port\":80,\"protocol\":\"udp\"}", "only TCP" },
		{ "{\"sandbox_port\":80,\"x\":1}", "unknown key \"x\"" },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		json_t *o = json_loads(bad[i].text, 0, NULL);
		struct portmap m;
		struct err err = { 0 };

		assert_true(portmap_read(o, "publish[0]", &m, &err) < 0);
		json_decref(o);
		assert_int_equal(err.kind, ERR_INVALID);
		if (!strstr(err.msg, bad[i].word) || !strstr(err.msg, "publish[0]"))
			fail_msg("%s: %s", bad[i].text, err.msg);
	}
}

static void the_hosts_side_as_text(void **state)
{
	char text[PORTMAP_TEXT_MAX];
	struct portmap m = { .host_ip = "::1", .v6 = true, .host_port = 80, .sandbox_port = 1 }, n = m;

	portmap_host(text, &m);
	assert_string_equal(text, "[::1]:80");
	assert_true(portmap_clash(&m, &n));
	m.host_port = n.host_port = 0;
	assert_false(portmap_clash(&m, &n));
	portmap_host(text, &m);
	assert_string_equal(text, "[::1]:auto");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_can_be_written), cmocka_unit_test(what_is_refused),
		cmocka_unit_test(what_a_match_means),  cmocka_unit_test(json_is_read_strictly),
		cmocka_unit_test(the_hosts_side_as_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
