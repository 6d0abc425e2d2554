/* SPDX-License-Identifier: Apache-2.0
 *
 * table: rows of text in aligned columns. Bytes of the terminal's own language are taken out of cells.
 */
#ifndef SBX_CLI_TABLE_H
#define SBX_CLI_TABLE_H

#include <stddef.h>
#include <stdio.h>

/* rows x columns cells, the first row being the header; two blanks or more between columns, none at the end of a line. */
void table_print(FILE *to, char *const *cells, size_t rows, size_t columns);
/* Replaces control characters (C0, DEL, and C1 as UTF-8) in place by '?'. */
void table_clean(char *s);

#endif
