/* SPDX-License-Identifier: Apache-2.0
 *
 * table: see table.h. Widths count UTF-8 characters, not bytes.
 */
#include "cli/table.h"

#include <string.h>

#define COLUMNS_MAX 16

static size_t width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

void table_clean(char *s)
{
	for (; *s; s++) {
		unsigned char b = (unsigned char)*s;

		if (b == 0xc2 && (unsigned char)s[1] >= 0x80 && (unsigned char)s[1] < 0xa0)
			*s++ = '?', *s = '?';
		else if (b < ' ' || b == 0x7f)
			*s = '?';
	}
}

void table_print(FILE *to, char *const *cells, size_t rows, size_t columns)
{
	size_t widths[COLUMNS_MAX] = { 0 };

	if (columns > COLUMNS_MAX)
		columns = COLUMNS_MAX;
	for (size_t i = 0; i < rows * columns; i++) {
		table_clean(cells[i]);
		if (width(cells[i]) > widths[i % columns])
			widths[i % columns] = width(cells[i]);
	}
	for (size_t r = 0; r < rows; r++)
		for (size_t k = 0; k < columns; k++) {
			const char *s = cells[r * columns + k];
			int pad = k + 1 < columns ? (int)(widths[k] - width(s)) + 2 : 0;

			(void)fprintf(to, "%s%*s%s", s, pad, "", k + 1 < columns ? "" : "\n");
		}
}
