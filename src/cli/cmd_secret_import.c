/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_secret_import: `sbx secret import`: the services' variables out of a file or of the user's environment. Values are never shown.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/io.h"
#include "base/str.h"
#include "cli/ask.h"
#include "cli/keeper.h"
#include "cli/services.h"
#include "cli/storekey.h"
#include "cli/table.h"
#include "wire/dotenv.h"

#define FILE_MAX (1U << 20)
#define COLUMNS 3

struct values {
	bool env, yes, force;
};

enum { KEY_YES = 'y', KEY_FORCE = 'f', KEY_ENV = 0x100 };

/* A service's variable that was found. */
struct find {
	struct secretmsg_secret secret;
	size_t env; /* which of its variables; the first counts */
	struct secret value;
	char note[64];
	bool take;
};

struct job {
	struct cli *cli;
	struct find of[SECRETMSG_MAX];
	size_t n;
};

static int option(void *values, int key, const char *arg, struct err *err)
{
	struct values *v = values;

	if (key == KEY_YES)
		v->yes = true;
	else if (key == KEY_FORCE)
		v->force = true;
	else
		v->env = true;
	return 0;
}

/* --- what there is --- */

static struct find *slot(struct job *j, const struct secretmsg_secret *s)
{
	for (size_t i = 0; i < j->n; i++)
		if (str_eq(j->of[i].secret.name, s->name))
			return &j->of[i];
	if (j->n == SECRETMSG_MAX)
		return NULL;
	j->of[j->n] = (struct find){ .secret = *s, .env = SECRETMSG_ENV_MAX };
	return &j->of[j->n++];
}

static void consider(struct job *j, const char *name, const char *value, size_t n)
{
	struct secretmsg_secret s;

	for (size_t i = 0; n > 0 && services_name(i); i++) {
		(void)services_find(services_name(i), &s);
		for (size_t e = 0; e < s.nenv; e++) {
			struct find *f = str_eq(s.env[e], name) ? slot(j, &s) : NULL;
			struct err why = { 0 };

			if (!f || e > f->env)
				continue;
			f->env = e;
			f->take = secret_check(value, n, &why) == 0 && !str_eq(value, s.placeholder);
			secret_wipe(&f->value);
			(void)str_format(f->note, sizeof(f->note), "%s", f->take ? "new" : why.msg[0] ? "left out: not a secret's value" : "left out: a placeholder");
			if (f->take)
				memcpy(f->value.s, value, n);
		}
	}
}

static void from_environment(struct job *j)
{
	struct secretmsg_secret s;

	for (size_t i = 0; services_name(i); i++) {
		(void)services_find(services_name(i), &s);
		for (size_t e = 0; e < s.nenv; e++) {
			const char *value = env_get(s.env[e]);

			if (value)
				consider(j, s.env[e], value, strlen(value));
		}
	}
}

static int parse(struct job *j, const char *text, size_t n)
{
	struct dotenv_entry *e = calloc(1, sizeof(*e));
	struct dotenv d;
	int r;

	if (!e)
		return err_errno(&j->cli->err, ENOMEM, "the file");
	dotenv_init(&d, text, n);
	while ((r = dotenv_next(&d, e)) != 0) {
		if (r < 0)
			cli_say("line %zu is not NAME=VALUE, or too long: passed over", d.line);
		else
			consider(j, e->name, e->value, e->n);
	}
	explicit_bzero(e, sizeof(*e));
	free(e);
	return 0;
}

static int from_file(struct job *j, const char *path)
{
	auto_fd int fd = str_eq(path, "-") ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char *text = fd < 0 ? NULL : malloc(FILE_MAX);
	ssize_t n = text ? io_read_full(fd, text, FILE_MAX) : 0;
	int r;

	if (fd < 0)
		return err_errno(&j->cli->err, errno, "cannot open %.300s", path);
	if (!text || n < 0)
		r = err_errno(&j->cli->err, text ? (int)-n : ENOMEM, "cannot read %.300s", path);
	else if (n == (ssize_t)FILE_MAX)
		r = err_set(&j->cli->err, ERR_INVALID, EFBIG, "%.300s is longer than 1 MiB", path);
	else
		r = parse(j, text, (size_t)n);
	if (text)
		explicit_bzero(text, FILE_MAX);
	free(text);
	return r;
}

/* --- what becomes of it --- */

static int compare(struct job *j, bool force)
{
	auto_free struct secretmsg_list *l = keeper_list(j->cli);

	if (!l)
		return err_code(&j->cli->err);
	for (size_t i = 0; i < j->n; i++)
		for (size_t k = 0; k < l->n && j->of[i].take; k++)
			if (!l->of[k].sandbox[0] && str_eq(l->of[k].name, j->of[i].secret.name)) {
				j->of[i].take = force;
				(void)str_format(j->of[i].note, sizeof(j->of[i].note), "%s", force ? "replaces the stored one" : "left out: stored already (--force)");
				break;
			}
	return 0;
}

static int show(struct job *j)
{
	char *cells[(SECRETMSG_MAX + 1) * COLUMNS] = { (char *)(uintptr_t)"SERVICE", (char *)(uintptr_t)"VARIABLE", (char *)(uintptr_t)"" };

	for (size_t i = 0; i < j->n; i++) {
		char **row = cells + (i + 1) * COLUMNS;

		row[0] = j->of[i].secret.name;
		row[1] = j->of[i].secret.env[j->of[i].env];
		row[2] = j->of[i].note;
	}
	table_print(stdout, cells, j->n + 1, COLUMNS);
	return fflush(stdout) == 0 ? 0 : err_errno(&j->cli->err, errno, "cannot write");
}

static int store(struct job *j, size_t *ret_n)
{
	struct secretmsg_request *q = calloc(1, sizeof(*q));
	int r = q ? 0 : err_errno(&j->cli->err, ENOMEM, "the secrets");

	*ret_n = 0;
	for (size_t i = 0; i < j->n && r == 0; i++) {
		if (!j->of[i].take)
			continue;
		q->op = SECRETMSG_SET;
		q->secret = j->of[i].secret;
		q->value = j->of[i].value;
		r = keeper_change(j->cli, q);
		*ret_n += r == 0;
	}
	if (q)
		secret_wipe(&q->value);
	free(q);
	return r;
}

static int confirm(struct job *j, size_t n, bool yes)
{
	char question[96];

	if (yes)
		return 0;
	(void)str_format(question, sizeof(question), "Store %zu of them for all sandboxes?", n);
	return ask_confirm(j->cli, "--yes", "sbx secret import --yes ...", question, "nothing was stored");
}

static int import(struct job *j, const struct values *v)
{
	size_t n = 0;
	int r;

	if (j->n == 0) {
		cli_say("No variable of a service that sbx knows");
		return CMD_OK;
	}
	storekey_prepare(j->cli);
	r = compare(j, v->force);
	if (r == 0)
		r = show(j);
	for (size_t i = 0; i < j->n; i++)
		n += j->of[i].take;
	if (r == 0 && n > 0)
		r = confirm(j, n, v->yes);
	if (r < 0)
		return r;
	r = n > 0 ? store(j, &n) : 0;
	(void)printf("Stored %zu for all sandboxes\n", n);
	return r < 0 ? r : CMD_OK;
}

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	const struct values *v = values;
	struct job *j;
	int r = 0;

	if (v->env == (a->npos == 1))
		return err_set(&c->err, ERR_INVALID, EINVAL, "say from where: a FILE, - for standard input, or --env for your environment");
	j = calloc(1, sizeof(*j));
	if (!j)
		return err_errno(&c->err, ENOMEM, "the secrets");
	j->cli = c;
	if (v->env)
		from_environment(j);
	else
		r = from_file(j, a->pos[0]);
	if (r == 0)
		r = import(j, v);
	explicit_bzero(j, sizeof(*j));
	free(j);
	return r;
}

static const struct argp_option options[] = {
	{ "env", KEY_ENV, NULL, 0, "From the variables of your environment", 0 },
	{ "yes", KEY_YES, NULL, 0, "Do not ask", 0 },
	{ "force", KEY_FORCE, NULL, 0, "Replace secrets that are stored already", 0 },
	{ 0 },
};

const struct cmd cmd_secret_import = {
	.name = "import",
	.args = "{FILE|--env}",
	.summary = "Store the services' keys that a file of variables or your environment has",
	.doc = "FILE has lines NAME=VALUE, as .env files do. Only variables of services that sbx knows are taken, for all sandboxes;\n"
	       "what is stored already stays. Which they are is shown first, their values never.",
	.options = options,
	.max_args = 1,
	.size = sizeof(struct values),
	.option = option,
	.run = run,
};
