/* SPDX-License-Identifier: Apache-2.0
 *
 * Canonical destinations: every spelling of a host ends in one form or in a refusal that says why.
 */
#include "wire/dest.h"

#include "base/own.h"
#include "unit.h"

#define A63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
/* The longest name: three labels of 63 bytes and one of 61. */
#define A253 A63 "." A63 "." A63 "." "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void hosts_that_are_names(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "ok.test", "ok.test" },
		{ "OK.TeSt", "ok.test" },
		{ "ok.test.", "ok.test" },
		{ "localhost", "localhost" },
		{ "a.localhost.", "a.localhost" },
		{ "_ldap._tcp.dc._msdcs", "_ldap._tcp.dc._msdcs" },
		{ "-.wild.test", "-.wild.test" },
		{ "xn--bcher-kva.wild.test", "xn--bcher-kva.wild.test" },
		{ "1.test", "1.test" },
		{ "1.2.3.4.test", "1.2.3.4.test" },
		{ "0x7f.test", "0x7f.test" },
		{ "test.0x1g", "test.0x1g" },
		{ "test.1x", "test.1x" },
		{ "127.0.0.1.nip.example", "127.0.0.1.nip.example" },
		{ A63, A63 },
		{ A253, A253 },
		{ A253 ".", A253 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct dest d;

		assert_int_equal(dest_make(cases[i].in, strlen(cases[i].in), 443, DEST_HTTPS, &d), DEST_OK);
		assert_int_equal(d.kind, DEST_NAME);
		assert_int_equal(d.port, 443);
		assert_int_equal(d.scheme, DEST_HTTPS);
		assert_string_equal(d.host, cases[i].out);
	}
}

static void hosts_that_are_addresses(void **state)
{
	static const struct {
		const char *in, *out;
		enum dest_kind kind;
	} cases[] = {
		{ "127.0.0.1", "127.0.0.1", DEST_V4 },
		{ "0.0.0.0", "0.0.0.0", DEST_V4 },
		{ "255.255.255.255", "255.255.255.255", DEST_V4 },
		{ "::1", "::1", DEST_V6 },
		{ "::", "::", DEST_V6 },
		{ "0:0:0:0:0:0:0:1", "::1", DEST_V6 },
		{ "2606:2800:0220:0001::0010", "2606:2800:220:1::10", DEST_V6 },
		{ "2606:2800:220:1:0:0:0:10", "2606:2800:220:1::10", DEST_V6 },
		{ "FE80::1", "fe80::1", DEST_V6 },
		{ "::ffff:127.0.0.1", "::ffff:127.0.0.1", DEST_V6 },
		{ "::FFFF:7f00:1", "::ffff:127.0.0.1", DEST_V6 },
		{ "::127.0.0.1", "::127.0.0.1", DEST_V6 },
		{ "::ffff:0:7f00:1", "::ffff:0:7f00:1", DEST_V6 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct dest d;

		assert_int_equal(dest_make(cases[i].in, strlen(cases[i].in), 1, DEST_TCP, &d), DEST_OK);
		assert_string_equal(d.host, cases[i].out);
		assert_int_equal(d.kind, cases[i].kind);
	}
}

#define BYTES(s) s, sizeof(s) - 1

struct refusal {
	const char *in;
	size_t n;
	enum dest_refusal why;
};

static void assert_refusals(const struct refusal *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct dest d, before;
		enum dest_refusal r;

		memset(&d, 0x5a, sizeof(d));
		before = d;
		r = dest_make(cases[i].in, cases[i].n, 443, DEST_HTTP, &d);
		if (r != cases[i].why)
			fail_msg("%s: %d, not %d", cases[i].in, r, cases[i].why);
		assert_memory_equal(&d, &before, sizeof(d));
	}
}

static void names_that_are_refused(void **state)
{
	static const struct refusal cases[] = {
		{ BYTES(""), DEST_EMPTY },
		{ BYTES("."), DEST_LABEL_EMPTY },      { BYTES(".."), DEST_LABEL_EMPTY },
		{ BYTES("ok.test.."), DEST_LABEL_EMPTY },
		{ BYTES(".wild.test"), DEST_LABEL_EMPTY },
		{ BYTES("a..wild.test"), DEST_LABEL_EMPTY },
		{ BYTES(A63 "a.test"), DEST_LABEL_LENGTH }, { BYTES("test." A63 "a"), DEST_LABEL_LENGTH },
		{ BYTES(A253 "a"), DEST_NAME_LENGTH },
		{ BYTES(A253 ".a"), DEST_NAME_LENGTH },
		{ BYTES("evil.test\0.wild.test"), DEST_BYTE },
		{ BYTES("ok.test\0"), DEST_BYTE },
		{ BYTES("ok.test "), DEST_BYTE },
		{ BYTES(" ok.test"), DEST_BYTE },
		{ BYTES("ok\t.test"), DEST_BYTE },
		{ BYTES("ok.test\r\n"), DEST_BYTE },
		{ BYTES("ok%2etest"), DEST_BYTE },
		{ BYTES("ok.test/"), DEST_BYTE },
		{ BYTES("ok.test\\"), DEST_BYTE },
		{ BYTES("ok.test?"), DEST_BYTE },
		{ BYTES("ok.test#"), DEST_BYTE },
		{ BYTES("*.wild.test"), DEST_BYTE },
		{ BYTES("a,b"), DEST_BYTE },
		{ BYTES("ok.test@evil.test"), DEST_USERINFO },
		{ BYTES("b\xc3\xbc" "cher.wild.test"), DEST_NOT_ASCII },
		{ BYTES("ok\xe3\x80\x82test"), DEST_NOT_ASCII },
		{ BYTES("ok\xef\xbc\x8etest"), DEST_NOT_ASCII },
		{ BYTES("\xef\xbd\x8f\xef\xbd\x8b.test"), DEST_NOT_ASCII },
		{ BYTES("ok\xc2\xad.test"), DEST_NOT_ASCII },
		{ BYTES("[::1]"), DEST_BRACKETS },
		{ BYTES("[ok.test]"), DEST_BRACKETS },
	};

	assert_refusals(cases, ARRAY_LEN(cases));
	assert_int_equal(dest_make("a", 1, 0, DEST_TCP, &(struct dest){ .port = 1 }), DEST_PORT);
}

static void addresses_that_are_refused(void **state)
{
	static const struct refusal cases[] = {
		{ BYTES("127.1"), DEST_NUMBER },
		{ BYTES("127.0.1"), DEST_NUMBER },
		{ BYTES("0177.0.0.1"), DEST_NUMBER },
		{ BYTES("0x7f.0.0.1"), DEST_NUMBER },
		{ BYTES("0x7f000001"), DEST_NUMBER },
		{ BYTES("2130706433"), DEST_NUMBER },
		{ BYTES("017700000001"), DEST_NUMBER },
		{ BYTES("127.0.0.1."), DEST_NUMBER },
		{ BYTES("0"), DEST_NUMBER },
		{ BYTES("00000000"), DEST_NUMBER },
		{ BYTES("127.0.0.01"), DEST_NUMBER },
		{ BYTES("127.0.0.256"), DEST_NUMBER },
		{ BYTES("127.0.0.1000"), DEST_NUMBER },
		{ BYTES("1.2.3.4.5"), DEST_NUMBER },
		{ BYTES("evil.test.1"), DEST_NUMBER },
		{ BYTES("evil.test.0x"), DEST_NUMBER },
		{ BYTES("evil.test.0XfF"), DEST_NUMBER },
		{ BYTES("fe80::1%eth0"), DEST_ZONE },
		{ BYTES("fe80::1%25eth0"), DEST_ZONE },
		{ BYTES("::1%lo"), DEST_ZONE },
		{ BYTES("::g"), DEST_IPV6 },
		{ BYTES(":::"), DEST_IPV6 },
		{ BYTES("1:2:3:4:5:6:7:8:9"), DEST_IPV6 },
		{ BYTES("1::2::3"), DEST_IPV6 },
		{ BYTES("12345::"), DEST_IPV6 },
		{ BYTES("::1.2.3"), DEST_IPV6 },
		{ BYTES("::1\0"), DEST_BYTE },
		{ BYTES("::1 "), DEST_BYTE },
		{ BYTES("0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"), DEST_IPV6 },
	};

	assert_refusals(cases, ARRAY_LEN(cases));
}

static void authorities(void **state)
{
	static const struct {
		const char *in;
		uint16_t default_port;
		enum dest_refusal why;
		const char *out;
	} cases[] = {
		{ "ok.test:443", 0, DEST_OK, "ok.test:443" },
		{ "OK.test.:443", 0, DEST_OK, "ok.test:443" },
		{ "ok.test", 80, DEST_OK, "ok.test:80" },
		{ "ok.test:8443", 80, DEST_OK, "ok.test:8443" },
		{ "[::1]:8001", 0, DEST_OK, "[::1]:8001" },
		{ "[::1]", 80, DEST_OK, "[::1]:80" },
		{ "[0:0:0:0:0:0:0:1]:1", 0, DEST_OK, "[::1]:1" },
		{ "1.2.3.4:65535", 0, DEST_OK, "1.2.3.4:65535" },
		{ "ok.test", 0, DEST_PORT_MISSING, NULL },
		{ "ok.test:", 0, DEST_PORT, NULL },
		{ "ok.test:", 443, DEST_PORT, NULL },
		{ "ok.test:443:80", 0, DEST_BRACKETS, NULL },
		{ "ok.test:+443", 0, DEST_PORT, NULL },
		{ "ok.test: 443", 0, DEST_PORT, NULL },
		{ "ok.test:443 ", 0, DEST_PORT, NULL },
		{ "ok.test:0443", 0, DEST_PORT, NULL },
		{ "ok.test:0", 0, DEST_PORT, NULL },
		{ "ok.test:65536", 0, DEST_PORT, NULL },
		{ "ok.test:65979", 0, DEST_PORT, NULL },
		{ "ok.test:4294967739", 0, DEST_PORT, NULL },
		{ "ok.test:-1", 0, DEST_PORT, NULL },
		{ "ok.test:0x1bb", 0, DEST_PORT, NULL },
		{ "ok.test:https", 0, DEST_PORT, NULL },
		{ "u:p@ok.test:443", 0, DEST_USERINFO, NULL },
		{ "ok.test@evil.test", 443, DEST_USERINFO, NULL },
		{ "ok.test:443@evil.test", 443, DEST_USERINFO, NULL },
		{ "", 443, DEST_EMPTY, NULL },
		{ ":443", 0, DEST_EMPTY, NULL },
		{ "[]:443", 0, DEST_EMPTY, NULL },
		{ "::1:443", 0, DEST_BRACKETS, NULL },
		{ "2001:db8::1", 443, DEST_BRACKETS, NULL },
		{ "[::1", 443, DEST_BRACKETS, NULL },
		{ "[::1]443", 0, DEST_BRACKETS, NULL },
		{ "[::1]x", 443, DEST_BRACKETS, NULL },
		{ "[::1]]:1", 0, DEST_BRACKETS, NULL },
		{ "[[::1]]:1", 0, DEST_BRACKETS, NULL },
		{ "[ok.test]:443", 0, DEST_IPV6, NULL },
		{ "[127.0.0.1]:443", 0, DEST_IPV6, NULL },
		{ "[v1.fe80]:80", 0, DEST_IPV6, NULL },
		{ "[fe80::1%25eth0]:80", 0, DEST_ZONE, NULL },
		{ "[fe80::1%eth0]:80", 0, DEST_ZONE, NULL },
		{ "[::1%lo]:8001", 0, DEST_ZONE, NULL },
		{ "http://ok.test", 80, DEST_PORT, NULL },
		{ "ok.test/:80", 0, DEST_BYTE, NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct dest d;
		char text[DEST_PRINT_MAX];
		enum dest_refusal r =
			dest_parse_authority(cases[i].in, strlen(cases[i].in), cases[i].default_port, DEST_HTTP, &d);

		if (r != cases[i].why)
			fail_msg("%s: %d, not %d", cases[i].in, r, cases[i].why);
		if (r != DEST_OK)
			continue;
		dest_print(&d, text);
		assert_string_equal(text, cases[i].out);
	}
}

static struct dest made(const char *s)
{
	struct dest d;

	assert_int_equal(dest_parse_authority(s, strlen(s), 443, DEST_HTTPS, &d), DEST_OK);
	return d;
}

static void equality_is_of_host_and_port(void **state)
{
	struct dest a = made("ok.test:443"), b = made("OK.TEST."), c = made("ok.test:80"), d = made("ok.test.x:443");
	struct dest v6 = made("[::1]"), also = made("[0::0:1]"), v4 = made("0.0.0.1");

	assert_true(dest_equal(&a, &b));
	assert_memory_equal(&a.host, &b.host, sizeof(a.host));
	assert_false(dest_equal(&a, &c));
	assert_true(dest_same_host(&a, &c));
	assert_false(dest_same_host(&a, &d));
	assert_true(dest_equal(&v6, &also));
	assert_false(dest_same_host(&v6, &v4));
	b.scheme = DEST_HTTP;
	assert_true(dest_equal(&a, &b));
}

static void names_below_names(void **state)
{
	struct dest d = made("a.wild.test"), v4 = made("10.0.0.1");

	assert_true(dest_is_within(&d, "a.wild.test"));
	assert_true(dest_is_within(&d, "wild.test"));
	assert_true(dest_is_within(&d, "test"));
	assert_false(dest_is_within(&d, "ild.test"));
	assert_false(dest_is_within(&d, "x.a.wild.test"));
	assert_false(dest_is_within(&d, ""));
	assert_false(dest_is_within(&v4, "0.0.1"));
}

/* No byte can stand in a name twice over: either it is refused or it comes out in the one canonical form. */
static void every_byte(void **state)
{
	for (int c = 0; c < 256; c++) {
		char s[] = { 'a', (char)c, 'b', '.', 't' };
		struct dest d, again;

		if (dest_make(s, sizeof(s), 1, DEST_TCP, &d) != DEST_OK)
			continue;
		assert_true(strspn(d.host, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == strlen(d.host));
		assert_int_equal(dest_make(d.host, strlen(d.host), 1, DEST_TCP, &again), DEST_OK);
		assert_memory_equal(&d, &again, sizeof(d));
	}
}

static void reasons_have_texts(void **state)
{
	for (int r = 0; r < DEST_REFUSALS; r++) {
		assert_true(strlen(dest_refusal_text((enum dest_refusal)r)) > 10);
		for (int other = 0; other < r; other++)
			assert_string_not_equal(dest_refusal_text((enum dest_refusal)r), dest_refusal_text((enum dest_refusal)other));
	}
	assert_non_null(dest_refusal_text(DEST_REFUSALS));
	assert_string_equal(dest_scheme_name(DEST_TCP), "tcp");
	assert_string_equal(dest_scheme_name(DEST_HTTP), "http");
	assert_string_equal(dest_scheme_name(DEST_HTTPS), "https");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_that_are_names),
		cmocka_unit_test(hosts_that_are_addresses),
		cmocka_unit_test(names_that_are_refused),
		cmocka_unit_test(addresses_that_are_refused),
		cmocka_unit_test(authorities),
		cmocka_unit_test(equality_is_of_host_and_port),
		cmocka_unit_test(names_below_names),
		cmocka_unit_test(every_byte),
		cmocka_unit_test(reasons_have_texts),
	};

	return cmocka_run_group_tests_name("dest", tests, NULL, NULL);
}
