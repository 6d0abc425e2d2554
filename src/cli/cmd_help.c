/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_help: `sbx help [COMMAND...]`; with the hidden --markdown, docs/cli.md.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/cmd.h"
#include "cli/opt.h"

struct values {
	bool markdown;
};

enum { KEY_MARKDOWN = 0x100 };

static const struct argp_option options[] = {
	{ "markdown", KEY_MARKDOWN, NULL, OPTION_HIDDEN, "Print docs/cli.md", 0 },
	{ 0 },
};

static int option(void *values, int key, const char *arg, struct err *err)
{
	((struct values *)values)->markdown = true;
	return 0;
}

static const char intro[] =
	"# The command line\n\n"
	"Made by `sbx help --markdown` from the tables that parse the options; do not edit.\n\n"
	"- stdout is data, stderr is talk. `--json` prints JSON wherever something is listed.\n"
	"- Every command takes `-h, --help` and `-D, --debug`. Long options are written in full.\n"
	"- A failure is `error: MESSAGE` on stderr and, where a command helps, `try: COMMAND`.\n"
	"- Exit status: 0 done, 1 failed, 2 wrong usage. `run` and `exec` give the program's own status, 128 + n where signal n\n"
	"  killed it (141 where the reader of the output went away), and 125 where sbx failed (wrong usage too), 126 where the\n"
	"  program cannot be run, 127 where it is not there.\n"
	"- Nothing is asked where stdin or stderr is no terminal, or where `SBX_NONINTERACTIVE` is set.\n"
	"- `XDG_STATE_HOME`, `XDG_CACHE_HOME`, `XDG_CONFIG_HOME` and `XDG_RUNTIME_DIR` say where things are kept.\n"
	"- A variable file (`--env-file`) has one `NAME=VALUE` per line, taken literally; `NAME` alone takes the value that sbx\n"
	"  has, if it has one; blank lines and lines that start with `#` are skipped. `-e` goes before files, later before earlier.\n"
	"- Three interrupts within two seconds end a session whose program does not listen to them.\n";

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	const struct cmd *cmd = &cli_root;
	char title[OPT_TITLE_MAX] = "sbx";

	if (((struct values *)values)->markdown) {
		(void)fputs(intro, stdout);
		opt_markdown(stdout, cmd, title, 2);
		return CMD_OK;
	}
	for (size_t i = 0; i < a->npos; i++) {
		const struct cmd *const *s = cmd->subs;
		size_t len = strlen(title);

		while (s && *s && !str_eq((*s)->name, a->pos[i]))
			s++;
		if (!s || !*s) {
			cli_hint(c, "sbx --help");
			return err_set(&c->err, ERR_INVALID, EINVAL, "%s: unknown command '%.200s'", title, a->pos[i]);
		}
		cmd = *s;
		(void)str_format(title + len, sizeof(title) - len, " %s", cmd->name);
	}
	opt_help(stdout, cmd, title);
	return CMD_OK;
}

const struct cmd cmd_help = {
	.name = "help",
	.args = "[COMMAND...]",
	.summary = "Show help",
	.options = options,
	.max_args = 2,
	.size = sizeof(struct values),
	.option = option,
	.run = run,
};
