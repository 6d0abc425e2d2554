/* SPDX-License-Identifier: Apache-2.0
 *
 * ask: questions to a person at the terminal.
 */
#ifndef SBX_CLI_ASK_H
#define SBX_CLI_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* One line that is not shown, with its line's end; bytes read or -errno. stdin is a terminal. Ctrl-C leaves the terminal as it was. */
ssize_t ask_hidden(const char *prompt, char *dst, size_t size);
/* "y" or "yes". */
bool ask_yes(const char *question);
/* What was typed or piped, without its line's end. */
size_t ask_chomp(const char *text, size_t n);

#endif
