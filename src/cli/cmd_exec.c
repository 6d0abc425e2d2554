/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_exec: `sbx exec`, one program in a sandbox, by the rules of `docker exec`.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/cmd.h"
#include "cli/envset.h"
#include "cli/keeper.h"
#include "cli/session.h"

enum { KEY_ENV_FILE = 0x100, KEY_PRIVILEGED };

struct exec {
	bool detach, input, tty, privileged;
	const char *user, *cwd;
	struct envset env;
};

static const struct argp_option options[] = {
	{ "detach", 'd', NULL, 0, "Not supported: a program cannot outlive its session", 0 },
	{ "env", 'e', "NAME[=VALUE]", 0, "Set a variable; without a value, take the one that sbx has", 0 },
	{ "env-file", KEY_ENV_FILE, "FILE", 0, "Read variables from a file, one NAME=VALUE per line", 0 },
	{ "interactive", 'i', NULL, 0, "Give the program this stdin; without it, it reads the end at once", 0 },
	{ "privileged", KEY_PRIVILEGED, NULL, 0, "Run as root, unless -u says otherwise", 0 },
	{ "tty", 't', NULL, 0, "Give the program a terminal", 0 },
	{ "user", 'u', "USER[:GROUP]", 0, "Run as this user of the sandbox, by name or number (default: agent)", 0 },
	{ "workdir", 'w', "DIR", 0, "Run in this folder of the sandbox (default: the first workspace)", 0 },
	{ 0 },
};

static int option(void *values, int key, const char *arg, struct err *err)
{
	struct exec *x = values;

	switch (key) {
	case 'd':
		x->detach = true;
		return 0;
	case 'i':
		x->input = true;
		return 0;
	case 't':
		x->tty = true;
		return 0;
	case KEY_PRIVILEGED:
		x->privileged = true;
		return 0;
	case 'e':
		return envset_flag(&x->env, arg, err);
	case KEY_ENV_FILE:
		return envset_file(&x->env, arg, err);
	case 'u':
		x->user = arg;
		return arg[0] ? 0 : err_set(err, ERR_INVALID, EINVAL, "--user is empty");
	default: /* 'w' */
		x->cwd = arg;
		return arg[0] == '/' ? 0
				     : err_set(err, ERR_INVALID, EINVAL, "--workdir '%.200s' must be an absolute path", arg);
	}
}

static int check(struct cli *c, const char *name, const struct exec *x)
{
	if (x->detach) {
		cli_hint(c, "sbx exec %s sh -c 'COMMAND >/dev/null 2>&1 &'", name);
		return err_set(&c->err, ERR_INVALID, ENOTSUP, "exec --detach is not supported");
	}
	if (x->tty && (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))) {
		cli_hint(c, "sbx exec %s%s COMMAND", x->input ? "-i " : "", name);
		return err_set(&c->err, ERR_INVALID, ENOTTY, "-t needs a terminal, and standard %s is none",
			       isatty(STDIN_FILENO) ? "output" : "input");
	}
	return 0;
}

static json_t *start_record(const struct exec *x, char *const *argv, size_t n, json_t *env)
{
	json_t *list = json_array(), *start;

	for (size_t i = 0; i < n && list; i++)
		if (json_array_append_new(list, json_string(argv[i])) < 0) {
			json_decref(list);
			json_decref(env);
			return NULL;
		}
	start = session_start_record(list, env, x->tty);
	if (x->user || x->privileged)
		(void)json_object_set_new(start, "user", json_string(x->user ? x->user : "root"));
	if (x->cwd)
		(void)json_object_set_new(start, "cwd", json_string(x->cwd));
	return start;
}

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	const struct exec *x = values;
	struct session_spec s = { .name = a->pos[0], .tty = x->tty, .input = x->input };
	size_t skip = a->nrest > 0 && str_eq(a->rest[0], "--") ? 1 : 0;
	auto_(json) json_t *start = NULL, *env = NULL;
	int r;

	if (a->nrest == skip) {
		cli_hint(c, "sbx exec %s COMMAND", a->pos[0]);
		return err_set(&c->err, ERR_INVALID, EINVAL, "sbx exec: missing argument: COMMAND");
	}
	r = check(c, a->pos[0], x);
	env = r == 0 ? envset_merge(&x->env) : NULL;
	if (env)
		r = keeper_env(c, a->pos[0], env);
	if (r < 0)
		return r;
	start = start_record(x, a->rest + skip, a->nrest - skip, TAKE_PTR(env));
	if (!start)
		return err_set(&c->err, ERR_INVALID, EILSEQ, "the command's arguments must be UTF-8");
	s.start = start;
	return session_run(c, &s);
}

static void done(void *values)
{
	envset_done(&((struct exec *)values)->env);
}

const struct cmd cmd_exec = {
	.name = "exec",
	.args = "SANDBOX COMMAND [ARG...]",
	.summary = "Run a program in a sandbox",
	.doc = "Starts the sandbox where it is stopped. No shell is involved: use `sh -c` for one. Options stand before\n"
	       "SANDBOX; what follows it belongs to the program. The exit status is the program's, 128 + n where\n"
	       "signal n killed it, 125 where sbx failed, 126 where the program cannot be run, 127 where it is not there.",
	.options = options,
	.flags = CMD_TAKES_REST | CMD_SESSION,
	.min_args = 1,
	.max_args = 1,
	.size = sizeof(struct exec),
	.option = option,
	.run = run,
	.done = done,
};
