/* SPDX-License-Identifier: Apache-2.0
 *
 * table: see table.h. Widths count UTF-8 characters, not bytes.
 */
#include "cli/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

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

char **table_new(const char *const *heads, size_t rows, size_t columns)
{
	char **cells = calloc(rows * columns, sizeof(*cells));

	for (size_t i = 0; cells && i < columns; i++)
		cells[i] = str_new("%s", heads[i]);
	return cells;
}

int table_show(char **cells, size_t rows, size_t columns, struct err *err)
{
	bool full = cells != NULL;

	for (size_t i = 0; i < rows * columns && full; i++)
		full = cells[i] != NULL;
	if (full)
		table_print(stdout, cells, rows, columns);
	for (size_t i = 0; i < rows * columns && cells; i++)
		free(cells[i]);
	free(cells);
	return full ? 0 : err_set(err, ERR_INTERNAL, ENOMEM, "out of memory");
}
