/* SPDX-License-Identifier: Apache-2.0
 *
 * ask: questions to a person at the terminal.
 */
#ifndef SBX_CLI_ASK_H
#define SBX_CLI_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "cli/cmd.h"

/* One line that is not shown, with its line's end; bytes read or -errno. stdin is a terminal. Ctrl-C leaves the terminal as it was. */
ssize_t ask_hidden(const char *prompt, char *dst, size_t size);
/* "y" or "yes". */
bool ask_yes(const char *question);
/* Before something that cannot be taken back. 0 where somebody at the terminal says yes; negative with c->err filled where
 * they do not (kept says what is as it was), or where there is no terminal: then the error names `flag`, the hint `command`. */
int ask_confirm(struct cli *c, const char *flag, const char *command, const char *question, const char *kept);
/* Whether ask_confirm would have somebody to ask; 0, or negative with c->err filled. */
int ask_possible(struct cli *c, const char *flag, const char *command);
/* What was typed or piped, without its line's end. */
size_t ask_chomp(const char *text, size_t n);

#endif
