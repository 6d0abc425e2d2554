/* SPDX-License-Identifier: Apache-2.0
 *
 * lines: texts read line by line, without changing them. `at` starts at the text's beginning and moves on; a line
 * that does not fit into ret is left out. No I/O.
 */
#ifndef SBX_IMAGE_LINES_H
#define SBX_IMAGE_LINES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* The next line, without its end: false at the end of the text. */
bool lines_next(const char **at, char *ret, size_t size);
/* The next entry of a list, one per line, # begins a comment: without comment and blanks, never empty. */
bool lines_entry(const char **at, char *ret, size_t size);
/* Appends a list's entries to out, each after the separator but for the first. 0 or -errno. */
int lines_join(const char *list, const char *separator, struct buf *out);

#endif
