/* SPDX-License-Identifier: Apache-2.0
 *
 * Which first bytes are SSH's, in one piece and byte by byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/own.h"
#include "wire/sshident.h"

static enum sshident_result feed(enum sshident_from from, const void *bytes, size_t n)
{
	struct sshident whole, single;
	enum sshident_result r, one = SSHIDENT_MORE;

	sshident_init(&whole, from);
	single = whole;
	r = sshident_feed(&whole, bytes, n);
	for (size_t i = 0; i < n; i++)
		one = sshident_feed(&single, (const uint8_t *)bytes + i, 1);
	assert_int_equal(r, one);
	return r;
}

static enum sshident_result text(enum sshident_from from, const char *s)
{
	return feed(from, s, strlen(s));
}

static void test_client(void **state)
{
	static const struct {
		const char *text;
		enum sshident_result want;
	} cases[] = {
		{ "", SSHIDENT_MORE },
		{ "SSH-", SSHIDENT_MORE },
		{ "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r", SSHIDENT_MORE },
		{ "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", SSHIDENT_YES },
		{ "SSH-2.0-x\n", SSHIDENT_YES },
		{ "SSH-2.0-x\r\nGET / HTTP/1.1\r\n", SSHIDENT_YES },
		{ "SSH-2.0-\r\n", SSHIDENT_NO },
		{ "SSH-1.99-x\r\n", SSHIDENT_NO },
		{ "SSH-1.5-x\r\n", SSHIDENT_NO },
		{ "ssh-2.0-x\r\n", SSHIDENT_NO },
		{ "GET / HTTP/1.1\r\n", SSHIDENT_NO },
		{ "\r\nSSH-2.0-x\r\n", SSHIDENT_NO },
		{ "hello\r\nSSH-2.0-x\r\n", SSHIDENT_NO },
		{ "SSH-2.0-a\tb\r\n", SSHIDENT_NO },
		{ "SSH-2.0-a\rb\r\n", SSHIDENT_NO },
		{ "SSH-2.0-\xc3\xa4\r\n", SSHIDENT_NO },
		{ "\x16\x03\x01", SSHIDENT_NO },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (text(SSHIDENT_CLIENT, cases[i].text) != cases[i].want)
			fail_msg("\"%s\"", cases[i].text);
}

static void test_server(void **state)
{
	static const struct {
		const char *text;
		enum sshident_result want;
	} cases[] = {
		{ "SSH-2.0-x\r\n", SSHIDENT_YES },
		{ "SSH-1.99-Cisco\n", SSHIDENT_YES },
		{ "SSH-1.99-\n", SSHIDENT_NO },
		{ "SSH-1.5-x\n", SSHIDENT_NO },
		{ "welcome\r\n\r\nS\nSSH-2.0-x y\r\n", SSHIDENT_YES },
		{ "HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n<html>\n", SSHIDENT_MORE },
		{ "mail SSH-2.0-x\r\n", SSHIDENT_MORE },
		{ "SSH-\r\n", SSHIDENT_NO },
		{ "SSH-3.0-x\r\n", SSHIDENT_NO },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (text(SSHIDENT_SERVER, cases[i].text) != cases[i].want)
			fail_msg("\"%s\"", cases[i].text);
	assert_int_equal(feed(SSHIDENT_SERVER, "a\0b", 3), SSHIDENT_NO);
}

/* An identification of n bytes with its line's end. */
static enum sshident_result of_length(size_t n)
{
	auto_free char *s = malloc(n + 1);

	assert_non_null(s);
	memset(s, 'x', n);
	memcpy(s, "SSH-2.0-", 8);
	memcpy(s + n - 2, "\r\n", 3);
	return text(SSHIDENT_CLIENT, s);
}

static void test_bounds(void **state)
{
	static char lines[SSHIDENT_MAX + 2];

	assert_int_equal(of_length(SSHIDENT_LINE_MAX), SSHIDENT_YES);
	assert_int_equal(of_length(SSHIDENT_LINE_MAX + 1), SSHIDENT_NO);
	memset(lines, 'x', sizeof(lines) - 1);
	assert_int_equal(feed(SSHIDENT_SERVER, lines, SSHIDENT_MAX), SSHIDENT_MORE);
	assert_int_equal(feed(SSHIDENT_SERVER, lines, SSHIDENT_MAX + 1), SSHIDENT_NO);
	memcpy(lines + SSHIDENT_MAX - 11, "\nSSH-2.0-x\n", 11);
	assert_int_equal(feed(SSHIDENT_SERVER, lines, SSHIDENT_MAX), SSHIDENT_YES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_client),
		cmocka_unit_test(test_server),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
