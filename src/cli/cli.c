/* SPDX-License-Identifier: Apache-2.0
 *
 * cli: the table of commands, the way from argv to one of them, and what is said on stderr. Nothing is allocated
 * for long: the process ends with the command.
 */
#include "cli/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "cli/cmd.h"
#include "cli/opt.h"
#include "cli/table.h"

static int root_option(void *values, int key, const char *arg, struct err *err)
{
	return err_set(err, ERR_INVALID, EINVAL, "sbx: unknown option");
}

static const struct cmd *const commands[] = {
	&cmd_agent, &cmd_attach, &cmd_checkpoint,  &cmd_create, &cmd_daemon, &cmd_diagnose, &cmd_exec, &cmd_fork, &cmd_help,    &cmd_inspect,
	&cmd_login,  &cmd_logout, &cmd_ls,     &cmd_open,   &cmd_pause,   &cmd_policy, &cmd_ports,    &cmd_restore, &cmd_resume, &cmd_rm,   &cmd_run,     &cmd_secret, &cmd_stop,
	&cmd_version, NULL,
};

const struct cmd cli_root = {
	.name = "sbx",
	.args = "[ARG...]",
	.summary = "Gives a coding agent a machine of its own, with your project folder in it",
	.doc = "sbx run shell in a project folder starts a microVM that sees this folder at the same path, and nothing\n"
	       "else of this machine. What the program does there cannot reach the host.",
	.subs = commands,
	.flags = CMD_TAKES_REST,
	.max_args = 1,
	.option = root_option,
};

void cli_hint(struct cli *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(c->hint, sizeof(c->hint), fmt, ap);
	va_end(ap);
}

void cli_print_error(struct cli *c)
{
	(void)fflush(stdout);
	/* A path, a guest or an image may have put bytes of the terminal's language in. */
	table_clean(c->err.msg);
	table_clean(c->hint);
	(void)fprintf(stderr, "error: %s\n", c->err.msg[0] ? c->err.msg : "unknown failure");
	if (c->hint[0])
		(void)fprintf(stderr, "try: %s\n", c->hint);
	c->err = (struct err){ 0 };
	c->hint[0] = 0;
}

void cli_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	(void)fputc('\n', stderr);
	va_end(ap);
}

void cli_debug(const struct cli *c, const char *fmt, ...)
{
	va_list ap;

	if (!c->debug)
		return;
	va_start(ap, fmt);
	(void)fputs("debug: ", stderr);
	(void)vfprintf(stderr, fmt, ap);
	(void)fputc('\n', stderr);
	va_end(ap);
}

bool cli_interactive(void)
{
	return isatty(STDIN_FILENO) && isatty(STDERR_FILENO) && !env_get("SBX_NONINTERACTIVE");
}

int cli_print_json(struct cli *c, const json_t *v)
{
	if (json_dumpf(v, stdout, JSON_INDENT(2)) < 0 || putchar('\n') == EOF)
		return err_set(&c->err, ERR_INTERNAL, EIO, "cannot write JSON to standard output");
	return 0;
}

const char *cli_str(const json_t *v, const char *name)
{
	const char *s = json_string_value(json_object_get(v, name));

	return s ? s : "";
}

static const struct cmd *find(const struct cmd *const *subs, const char *name)
{
	for (; *subs; subs++)
		if (str_eq((*subs)->name, name))
			return *subs;
	return NULL;
}

static int failure(struct cli *c, const struct cmd *cmd, int usage)
{
	cli_print_error(c);
	if (cmd->flags & CMD_SESSION)
		return CMD_OURS;
	return usage ? CMD_USAGE : CMD_FAILED;
}

static int dispatch(struct cli *c, const struct cmd *cmd, const char *title, int argc, char **argv);

static int sub_command(struct cli *c, const struct cmd *cmd, const char *title, const struct cmd_args *a, char **argv)
{
	char sub_title[OPT_TITLE_MAX];
	const struct cmd *sub;

	if (a->npos == 0) {
		opt_help(stdout, cmd, title);
		return CMD_OK;
	}
	sub = find(cmd->subs, a->pos[0]);
	if (!sub) {
		if (cmd == &cli_root && (str_eq(a->pos[0], "shell") || str_eq(a->pos[0], "claude")))
			cli_hint(c, "sbx run %s", a->pos[0]);
		else
			cli_hint(c, "%s --help", title);
		(void)err_set(&c->err, ERR_INVALID, EINVAL, "%s: unknown command '%.200s'", title, a->pos[0]);
		return failure(c, cmd, 1);
	}
	(void)str_format(sub_title, sizeof(sub_title), "%s %s", title, sub->name);
	return dispatch(c, sub, sub_title, (int)a->nrest + 1, argv);
}

static int run_parsed(struct cli *c, const struct cmd *cmd, const struct cmd_args *a, void *values)
{
	int r = env_dirs(&c->dirs, &c->err);

	if (r == 0)
		r = cmd->run(c, a, values);
	if (r >= 0 && (fflush(stdout) != 0 || ferror(stdout)))
		r = err_errno(&c->err, errno ? errno : EIO, "cannot write to standard output");
	return r < 0 ? failure(c, cmd, 0) : r;
}

static int dispatch(struct cli *c, const struct cmd *cmd, const char *title, int argc, char **argv)
{
	auto_free void *values = calloc(1, cmd->size + 1);
	struct cmd_args a = { 0 };
	int r;

	if (!values) {
		(void)err_set(&c->err, ERR_INTERNAL, ENOMEM, "out of memory");
		return failure(c, cmd, 0);
	}
	r = opt_parse(c, cmd, &(struct opt_line){ title, argc, argv }, values, &a);
	if (c->wants_help) {
		opt_help(stdout, cmd, title);
		r = fflush(stdout) == 0 ? CMD_OK : CMD_FAILED;
	} else if (r < 0) {
		r = failure(c, cmd, 1);
	} else if (cmd->subs) {
		/* The rest starts after the sub-command's name, which stands in for argv[0]. */
		r = sub_command(c, cmd, title, &a, argv + argc - (int)a.nrest - 1);
	} else {
		r = run_parsed(c, cmd, &a, values);
	}
	if (cmd->done)
		cmd->done(values);
	free(a.pos);
	return r;
}

int cli_main(int argc, char **argv)
{
	struct cli c = { 0 };

	log_setup("sbx", NULL, LOG_LEVEL_WARN);
	/* Line by line, so that talk from several processes does not mix within a line. */
	(void)setvbuf(stderr, NULL, _IOLBF, 4096);
	return dispatch(&c, &cli_root, "sbx", argc, argv);
}
