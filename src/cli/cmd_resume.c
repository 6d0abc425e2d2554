/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_resume: `sbx resume`, a paused sandbox goes on.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/api.h"
#include "cli/detached.h"
#include "cli/session.h"

struct values {
	bool detach;
};

static const struct argp_option options[] = {
	{ "detach", 'd', NULL, 0, "Attach to no program", 0 },
	{ 0 },
};

static int option(void *values, int key, const char *arg, struct err *err)
{
	((struct values *)values)->detach = true;
	return 0;
}

/* The program that was attached last, where it has a terminal, and this is one. */
static int attach(struct cli *c, const char *name, const char *socket)
{
	auto_(json) json_t *list = NULL;
	json_int_t id = 0;
	bool tty = false;
	int r = detached_list(c, name, socket, &list);

	if (r == 0)
		r = detached_find(c, name, list, 0, &id, &tty);
	if (r == -ENOENT || (r == 0 && !tty)) {
		c->err = (struct err){ 0 };
		c->hint[0] = 0;
		return CMD_OK;
	}
	return r < 0 ? r : detached_attach(c, name, socket, id, tty);
}

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	auto_(json) json_t *v = NULL;
	const char *name = a->pos[0];
	char target[1100];
	int r = api_target(c, target, sizeof(target), name, "/resume");

	if (r == 0)
		r = api_call(c, &(struct api_req){ .method = "POST", .target = target, .timeout_ms = API_START_MS }, &v);
	if (r < 0)
		return r;
	(void)printf("Sandbox '%s' resumed\n", name);
	(void)fflush(stdout);
	if (((struct values *)values)->detach || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return CMD_OK;
	return attach(c, name, cli_str(v, "socket"));
}

const struct cmd cmd_resume = {
	.name = "resume",
	.args = "SANDBOX",
	.summary = "Let a paused sandbox go on where it was",
	.doc = "In a terminal it attaches to the program that was attached last; `sbx attach` does so with others.",
	.options = options,
	.flags = CMD_SESSION,
	.min_args = 1,
	.max_args = 1,
	.size = sizeof(struct values),
	.option = option,
	.run = run,
};
