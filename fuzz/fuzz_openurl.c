/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_openurl: a URL that a guest wants opened; what is taken is printable ASCII, within bounds, and means the same again.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "wire/openmsg.h"
#include "wire/openurl.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_callback(const struct openurl_callback *cb)
{
	if (cb->port == 0)
		return;
	assert(cb->port >= OPENURL_CALLBACK_PORT_MIN && cb->path[0] == '/');
	assert(strcmp(cb->host, "localhost") == 0 || strcmp(cb->host, "127.0.0.1") == 0 || strcmp(cb->host, "::1") == 0);
	for (const char *p = cb->path; *p; p++)
		assert(*p > 0x20 && *p < 0x7f && *p != '?' && *p != '#');
}

static void check_url(const char *s, size_t n)
{
	static struct openurl u, again;
	char origin[DEST_PRINT_MAX + 8], request[OPENURL_MAX + 1];
	const char *why = NULL;

	if (openurl_parse(s, n, &u, &why) != OPENURL_OK) {
		assert(why && why[0]);
		return;
	}
	assert(strlen(u.text) <= OPENURL_MAX && u.text[u.path_at] == '/' && strncmp(u.text, "http", 4) == 0);
	for (const char *p = u.text; *p; p++)
		assert(*p > 0x20 && *p < 0x7f && *p != '\\');
	check_callback(&u.callback);
	openurl_origin(&u, origin);
	openurl_request(&u, request);
	assert(request[0] == '/' && !strchr(request, '#'));
	assert(openurl_parse(u.text, strlen(u.text), &again, &why) == OPENURL_OK);
	assert(memcmp(&u, &again, sizeof(u)) == 0);
	if (openurl_move(&again, "127.0.0.1", 8080) == 0)
		assert(strncmp(again.text + again.path_at, u.text + u.path_at, OPENURL_MAX) == 0);
}

static void check_next(const char *s, size_t n)
{
	static const struct openurl_callback from = { .port = 1455, .host = "localhost", .path = "/cb" };
	static char next[OPENURL_MAX + 1];

	if (openurl_next(&from, s, n, next) < 0)
		return;
	assert(next[0] == '/');
	for (const char *p = next; *p; p++)
		assert(*p > 0x20 && *p < 0x7f && *p != '\\');
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct openmsg m;

	check_url((const char *)bytes, n);
	check_next((const char *)bytes, n);
	if (openmsg_take(bytes, n, &m) > 0) {
		assert(m.id > 0 && m.n > 0 && m.n <= OPENMSG_TEXT_MAX);
		check_url(m.text, m.n);
	}
	return 0;
}
