/* SPDX-License-Identifier: Apache-2.0
 *
 * table: rows of text in aligned columns. Bytes of the terminal's own language are taken out of cells.
 */
#ifndef SBX_CLI_TABLE_H
#define SBX_CLI_TABLE_H

#include <stddef.h>
#include <stdio.h>

#include "base/err.h"

/* rows x columns cells, the first row being the header; two blanks or more between columns, none at the end of a line. */
void table_print(FILE *to, char *const *cells, size_t rows, size_t columns);
/* The cells for rows x columns, with the header in place: the caller puts an owned string into each of the others. NULL: out of memory. */
char **table_new(const char *const *heads, size_t rows, size_t columns);
/* Prints such cells on standard output and frees them. Where they, or one of them, are NULL: -ENOMEM with err, and nothing is printed. */
int table_show(char **cells, size_t rows, size_t columns, struct err *err);
/* Replaces control characters (C0, DEL, and C1 as UTF-8) in place by '?'. */
void table_clean(char *s);

#endif
