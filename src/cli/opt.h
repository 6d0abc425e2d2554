/* SPDX-License-Identifier: Apache-2.0
 *
 * opt: from a command's option table to values, to --help and to docs/cli.md. argp (glibc) parses, in order, and
 * says nothing itself: the messages are ours. A long option must be written in full: an abbreviation that works
 * today would break when another option is added.
 */
#ifndef SBX_CLI_OPT_H
#define SBX_CLI_OPT_H

#include <stdio.h>

#include "cli/cmd.h"

#define OPT_TITLE_MAX 64

/* A command line: title ("sbx run") is for messages, argv[0] is not looked at. */
struct opt_line {
	const char *title;
	int argc;
	char **argv;
};

/* Parses a command line for cmd into values and ret. 0, or negative with cli->err and
 * the hint filled; ret->pos is then NULL. With --help it stops early and sets cli->wants_help. */
int opt_parse(struct cli *c, const struct cmd *cmd, const struct opt_line *line, void *values, struct cmd_args *ret);
/* --help of one command. */
void opt_help(FILE *to, const struct cmd *cmd, const char *title);
/* One section of docs/cli.md per command, sub-commands included; heading is the depth of the first. */
void opt_markdown(FILE *to, const struct cmd *cmd, const char *title, int heading);

#endif
