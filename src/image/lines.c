/* SPDX-License-Identifier: Apache-2.0
 *
 * lines: see lines.h.
 */
#include "image/lines.h"

#include <string.h>

/* The first n bytes at *at if they fit; *at moves behind the line. */
static bool cut(const char **at, size_t n, char *ret, size_t size)
{
	const char *s = *at;

	*at += strcspn(s, "\n");
	*at += **at == '\n';
	if (n >= size)
		return false;
	memcpy(ret, s, n);
	ret[n] = 0;
	return true;
}

bool lines_next(const char **at, char *ret, size_t size)
{
	while (**at)
		if (cut(at, strcspn(*at, "\n"), ret, size))
			return true;
	return false;
}

bool lines_entry(const char **at, char *ret, size_t size)
{
	while (**at) {
		size_t n;

		*at += strspn(*at, " \t");
		n = strcspn(*at, "#\n");
		while (n > 0 && ((*at)[n - 1] == ' ' || (*at)[n - 1] == '\t' || (*at)[n - 1] == '\r'))
			n--;
		if (cut(at, n, ret, size) && n > 0)
			return true;
	}
	return false;
}

int lines_join(const char *list, const char *separator, struct buf *out)
{
	const char *between = "";
	char word[256];

	while (lines_entry(&list, word, sizeof(word))) {
		int r = buf_printf(out, "%s%s", between, word);

		if (r < 0)
			return r;
		between = separator;
	}
	return 0;
}
