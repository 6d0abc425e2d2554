/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd: what a command is made of, and what it may say. A command's `run` returns the exit status (>= 0), or a
 * negative errno with cli->err filled, which the caller prints as `error: MESSAGE` and, where cli_hint gave one,
 * `try: COMMAND`. stdout is data and stderr is talk.
 */
#ifndef SBX_CLI_CMD_H
#define SBX_CLI_CMD_H

#include <argp.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/env.h"
#include "base/err.h"
#include "base/own.h"

DEFINE_AUTO(json, json_t *, json_decref);

/* Exit statuses of ours; run and exec give the program's own below them. */
enum {
	CMD_OK = 0,
	CMD_FAILED = 1,
	CMD_USAGE = 2,
	CMD_OURS = 125,        /* run, exec: sbx itself failed */
	CMD_CANNOT_EXEC = 126, /* run, exec: found, but cannot be executed */
	CMD_NOT_FOUND = 127,   /* run, exec: no such program */
};

struct cli {
	bool debug;
	bool wants_help;
	struct env_dirs dirs;
	struct err err;
	char hint[512]; /* "" or a command that helps */
};

/* Positional arguments; borrowed from argv. */
struct cmd_args {
	const char **pos; /* before "--"; owned array */
	size_t npos;
	char *const *rest; /* after "--", or after the first positional with CMD_TAKES_REST */
	size_t nrest;
};

enum {
	CMD_HIDDEN = 1,
	CMD_TAKES_REST = 2, /* the first positional ends the parsing; the rest belongs to somebody else */
	CMD_SESSION = 4,    /* our failures are 125, so that they are not taken for the program's */
};

struct cmd {
	const char *name;
	const char *args;                  /* usage after the options; "" where none */
	const char *summary;               /* one line, no full stop */
	const char *doc;                   /* more lines for --help; NULL */
	const struct argp_option *options; /* closed by { 0 }; NULL: none of its own */
	const struct cmd *const *subs;     /* sub-commands, closed by NULL; NULL: none */
	unsigned flags;
	size_t min_args, max_args; /* positionals */
	size_t size;               /* of `values`, which start zeroed */
	int (*option)(void *values, int key, const char *arg, struct err *err);
	int (*run)(struct cli *c, const struct cmd_args *a, void *values);
	void (*done)(void *values); /* frees what the values own; NULL: nothing */
};

/* The whole program: a command whose sub-commands are the commands. */
extern const struct cmd cli_root;

/* The commands, one per file. */
extern const struct cmd cmd_agent, cmd_attach, cmd_checkpoint, cmd_create, cmd_daemon, cmd_diagnose, cmd_exec, cmd_fork, cmd_help, cmd_inspect, cmd_login, cmd_logout, cmd_ls, cmd_open, cmd_pause, cmd_policy, cmd_ports, cmd_restore, cmd_resume,
	cmd_rm, cmd_run, cmd_secret, cmd_stop, cmd_version;
/* Of `sbx policy`. */
extern const struct cmd cmd_policy_allow, cmd_policy_approve, cmd_policy_check, cmd_policy_deny, cmd_policy_explain, cmd_policy_init,
	cmd_policy_log, cmd_policy_ls, cmd_policy_pending, cmd_policy_reject, cmd_policy_reset, cmd_policy_rm, cmd_policy_set_default;

/* Of `sbx secret`. */
extern const struct cmd cmd_secret_import, cmd_secret_lock, cmd_secret_protect, cmd_secret_reset, cmd_secret_unlock;

/* Keeps "try: ..." for the error that is returned next. */
void cli_hint(struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints cli->err and the hint, and forgets both: for commands that go on after a failure. */
void cli_print_error(struct cli *c);
/* A line of talk on stderr. */
void cli_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* More talk, with --debug only. */
void cli_debug(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Whether somebody is there to answer a question: stdin and stderr are terminals and SBX_NONINTERACTIVE is unset. */
bool cli_interactive(void);
/* Prints v as JSON on stdout. 0 or negative with the error filled. */
int cli_print_json(struct cli *c, const json_t *v);
/* A string member, "" where it is absent or of another type. Borrowed from v. */
const char *cli_str(const json_t *v, const char *name);

#endif
