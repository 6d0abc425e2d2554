/* SPDX-License-Identifier: Apache-2.0
 *
 * openurl: what may be opened and how it is written anew, what is refused, and which callback a URL names.
 */
#include "unit.h"

#include <errno.h>

#include "wire/openurl.h"

static struct openurl u;

static void becomes(const char *s, const char *want)
{
	const char *why = NULL;

	if (openurl_parse(s, strlen(s), &u, &why) != OPENURL_OK)
		fail_msg("%s: %s", s, why);
	assert_string_equal(u.text, want);
	/* It means the same when it is read again. */
	assert_int_equal(openurl_parse(want, strlen(want), &u, &why), OPENURL_OK);
	assert_string_equal(u.text, want);
}

static void refused(const char *s, size_t n, enum openurl_refusal want)
{
	const char *why = NULL;

	assert_int_equal(openurl_parse(s, n, &u, &why), want);
	assert_true(why && why[0]);
}

static void is_written_anew(void **state)
{
	becomes("https://example.com", "https://example.com/");
	becomes("HTTPS://EXAMPLE.com.:443/a?b#c", "https://example.com/a?b#c");
	becomes("http://example.com:80", "http://example.com/");
	becomes("http://example.com:443?x", "http://example.com:443/?x");
	becomes("https://example.com#f", "https://example.com/#f");
	becomes("https://[2001:DB8::1]:8443/", "https://[2001:db8::1]:8443/");
	becomes("https://example.com/a\"b<c>d^e`f{g|h}i'j", "https://example.com/a%22b%3Cc%3Ed%5Ee%60f%7Bg%7Ch%7Di'j");
	becomes("https://example.com/\xc3\xa9?%zz", "https://example.com/%C3%A9?%zz");
	becomes("https://example.com/a@b:c//d", "https://example.com/a@b:c//d");
	becomes("https://example.com/$(id);`x`", "https://example.com/$(id);%60x%60");
}

static void refuse_text(const char *s, enum openurl_refusal want)
{
	refused(s, strlen(s), want);
}

static void what_is_refused(void **state)
{
	static char longest[OPENURL_MAX + 200];

	refuse_text("", OPENURL_SCHEME);
	refuse_text("javascript:alert(1)", OPENURL_SCHEME);
	refuse_text("file:///etc/passwd", OPENURL_SCHEME);
	refuse_text("ftp://example.com/", OPENURL_SCHEME);
	refuse_text("--help", OPENURL_SCHEME);
	refuse_text("https:example.com", OPENURL_SCHEME);
	refuse_text("https:/example.com", OPENURL_SCHEME);
	refuse_text("https:///example.com", OPENURL_HOST);
	refuse_text("https://", OPENURL_HOST);
	refuse_text("https://user@example.com/", OPENURL_HOST);
	refuse_text("https://example.com:443@evil.test/", OPENURL_HOST);
	refuse_text("https://example.com\\@evil.test/", OPENURL_BACKSLASH);
	refuse_text("https://example.com\\.evil.test/", OPENURL_BACKSLASH);
	refuse_text("https://ex\xc3\xa4mple.com/", OPENURL_HOST);
	refuse_text("https://example.com:0/", OPENURL_HOST);
	refuse_text("https://0x7f.1/", OPENURL_HOST);
	refuse_text("https://%65xample.com/", OPENURL_HOST);
	refuse_text("https://example.com/a b", OPENURL_BYTE);
	refuse_text(" https://example.com/", OPENURL_BYTE);
	refuse_text("https://exam\tple.com/", OPENURL_BYTE);
	refuse_text("https://example.com/\x1b]0;x\x07", OPENURL_BYTE);
	refuse_text("https://example.com/\n", OPENURL_BYTE);
	refuse_text("https://example.com/\x7f", OPENURL_BYTE);
	refused("https://example.com/\0x", 22, OPENURL_BYTE);
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "https://example.com/", 20);
	refused(longest, sizeof(longest), OPENURL_LONG);
	refused(longest, OPENURL_MAX + 1, OPENURL_LONG);
	/* Encoding must not carry it past the end. */
	memset(longest + 20, 0xff, sizeof(longest) - 20);
	refused(longest, OPENURL_MAX, OPENURL_LONG);
}

static void callback(const char *s, const char *host, unsigned int port, const char *path)
{
	const char *why;

	assert_int_equal(openurl_parse(s, strlen(s), &u, &why), OPENURL_OK);
	assert_int_equal(u.callback.port, port);
	assert_string_equal(u.callback.host, host);
	assert_string_equal(u.callback.path, path);
}

#define AUTH "https://auth.example.com/authorize?client_id=x&"

static void which_callback(void **state)
{
	callback(AUTH "redirect_uri=http%3A%2F%2Flocalhost%3A1455%2Fauth%2Fcallback&state=1", "localhost", 1455, "/auth/callback");
	callback(AUTH "redirect_uri=http://127.0.0.1:8085/cb?x=y#f", "127.0.0.1", 8085, "/cb");
	callback(AUTH "redirect_uri=http://127.0.0.1:8085/cb%3Fx=y", "127.0.0.1", 8085, "/cb");
	callback(AUTH "callback=http://[::1]:8085", "::1", 8085, "/");
	callback(AUTH "callback_url=http%3a%2f%2fLOCALHOST:8085", "localhost", 8085, "/");
	callback(AUTH "redirect_uri=https://example.com/&redirect_uri=http://localhost:9000/b", "localhost", 9000, "/b");
	/* None. */
	callback(AUTH "redirect_uri=http://localhost/cb", "", 0, "");
	callback(AUTH "redirect_uri=http://localhost:22/cb", "", 0, "");
	callback(AUTH "redirect_uri=http://localhost:1023/", "", 0, "");
	callback(AUTH "redirect_uri=https://localhost:1455/", "", 0, "");
	callback(AUTH "redirect_uri=http://localhost.evil.test:1455/", "", 0, "");
	callback(AUTH "redirect_uri=http://127.0.0.2:1455/", "", 0, "");
	callback(AUTH "redirect_uri=http://0.0.0.0:1455/", "", 0, "");
	callback(AUTH "redirect_uri=http://me@localhost:1455/", "", 0, "");
	callback(AUTH "redirect_uri=http://localhost:1455/%00", "", 0, "");
	callback(AUTH "redirect_uri=http://localhost:1455/%0d%0aX:y", "", 0, "");
	callback(AUTH "redirect_uri=http://localhost:1455/%2", "", 0, "");
	callback(AUTH "redirect_uri=http://localhost:70000/", "", 0, "");
	callback(AUTH "x_redirect_uri=http://localhost:1455/", "", 0, "");
	callback("https://auth.example.com/#redirect_uri=http://localhost:1455/", "", 0, "");
	callback("https://auth.example.com/?#?redirect_uri=http://localhost:1455/", "", 0, "");
}

static void leads(const char *host, const char *location, const char *wanted)
{
	const struct openurl_callback from = { .port = 1455, .path = "/cb" };
	struct openurl_callback c = from;
	char next[OPENURL_MAX + 1] = "before";

	(void)snprintf(c.host, sizeof(c.host), "%s", host);
	assert_int_equal(openurl_next(&c, location, strlen(location), next), wanted ? 0 : -EINVAL);
	assert_string_equal(next, wanted ? wanted : "before");
}

static void where_it_leads_on(void **state)
{
	leads("localhost", "/success?a=b#c", "/success?a=b");
	leads("localhost", "http://localhost:1455/success?a=%2F", "/success?a=%2F");
	leads("localhost", "http://LOCALHOST:1455", "/");
	leads("127.0.0.1", "http://127.0.0.1:1455/x", "/x");
	leads("::1", "/x", "/x");
	leads("::1", "http://[::1]:1455/x", "/x");
	leads("localhost", "http://127.0.0.1:1455/x", NULL);
	leads("localhost", "http://localhost:1456/x", NULL);
	leads("localhost", "https://localhost:1455/x", NULL);
	leads("localhost", "http://localhost/x", NULL);
	leads("localhost", "//localhost:1455/x", NULL);
	leads("localhost", "//evil.test/x", NULL);
	leads("localhost", "/\\evil.test/x", NULL);
	leads("localhost", "/x y", NULL);
	leads("localhost", "/x\r\nHost: evil", NULL);
	leads("localhost", "success", NULL);
	leads("localhost", "", NULL);
	leads("localhost", "http://me@localhost:1455/", NULL);
}

static void parts(void **state)
{
	char origin[DEST_PRINT_MAX + 8], request[OPENURL_MAX + 1];
	const char *why;

	becomes("https://example.com/a?b=c#d", "https://example.com/a?b=c#d");
	assert_false(openurl_is_local(&u));
	openurl_origin(&u, origin);
	openurl_request(&u, request);
	assert_string_equal(origin, "https://example.com:443");
	assert_string_equal(request, "/a?b=c");
	assert_int_equal(openurl_parse("http://0.0.0.0:3000", 19, &u, &why), OPENURL_OK);
	assert_true(openurl_is_local(&u));
	assert_int_equal(openurl_parse("http://localhost:3000/x?y#z", 27, &u, &why), OPENURL_OK);
	assert_true(openurl_is_local(&u));
	assert_int_equal(openurl_move(&u, "::1", 49000), 0);
	assert_string_equal(u.text, "http://[::1]:49000/x?y#z");
	assert_string_equal(u.text + u.path_at, "/x?y#z");
	assert_int_equal(openurl_move(&u, "", 1), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_written_anew), cmocka_unit_test(what_is_refused), cmocka_unit_test(which_callback), cmocka_unit_test(where_it_leads_on),
		cmocka_unit_test(parts),
	};

	return cmocka_run_group_tests_name("openurl", tests, NULL, NULL);
}
