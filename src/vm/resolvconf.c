/* SPDX-License-Identifier: Apache-2.0
 *
 * resolvconf: see resolvconf.h.
 */
#include "vm/resolvconf.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"

#define BLANKS " \t\r"
#define KEYWORD "nameserver"

/* The address of a line "nameserver ADDRESS", as the message has it. */
static bool server(const char *line, size_t n, char *dst, size_t size)
{
	static const size_t keyword = sizeof(KEYWORD) - 1;
	char text[INET6_ADDRSTRLEN + 20], bare[INET6_ADDRSTRLEN + 20];
	struct in6_addr bits;
	size_t skip;

	if (n <= keyword || strncmp(line, KEYWORD, keyword) != 0 || !strchr(BLANKS, line[keyword]))
		return false;
	line += keyword;
	n -= keyword;
	skip = strspn(line, BLANKS);
	if (skip >= n)
		return false;
	line += skip;
	n = strcspn(line, BLANKS "\n");
	if (str_format(text, sizeof(text), "%.*s", (int)n, line) < 0)
		return false;
	if (inet_pton(AF_INET, text, &bits) == 1)
		return str_format(dst, size, "%s", text) == 0;
	/* A link-local server has its interface after '%'. */
	(void)str_format(bare, sizeof(bare), "%.*s", (int)strcspn(text, "%"), text);
	return inet_pton(AF_INET6, bare, &bits) == 1 && str_format(dst, size, "[%s]:53", text) == 0;
}

json_t *resolvconf_servers(const char *text)
{
	json_t *list = json_array();

	while (list && *text && json_array_size(list) < RESOLVCONF_MAX_SERVERS) {
		size_t n = strcspn(text, "\n");
		char one[INET6_ADDRSTRLEN + 32];

		if (server(text, n, one, sizeof(one)))
			(void)json_array_append_new(list, json_string(one));
		text += n + (text[n] == '\n');
	}
	if (list && json_array_size(list) == 0)
		(void)json_array_append_new(list, json_string("127.0.0.1"));
	return list;
}
