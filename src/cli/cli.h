/* SPDX-License-Identifier: Apache-2.0
 *
 * cli: the command line `sbx`. One command per file (cmd_*.c), each a `struct cmd` (cmd.h) whose option table gives
 * the parser, --help and docs/cli.md alike.
 */
#ifndef SBX_CLI_CLI_H
#define SBX_CLI_CLI_H

/* Runs the command that argv names; returns the exit status. */
int cli_main(int argc, char **argv);

#endif
