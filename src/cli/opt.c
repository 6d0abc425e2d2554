/* SPDX-License-Identifier: Apache-2.0
 *
 * opt: see opt.h. argp is asked for strict order, so that the token that an option came from is always the one at
 * which it stood after the call before: that is how abbreviations are seen and errors name the right token.
 */
#include "cli/opt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* Every command has these. */
static const struct argp_option common[] = {
	{ "debug", 'D', NULL, 0, "Say more about what happens", 0 },
	{ "help", 'h', NULL, 0, "Show this help", 0 },
	{ 0 },
};

struct job {
	struct cli *cli;
	const struct cmd *cmd;
	const char *title;
	const struct argp_option *options; /* the command's and the common ones */
	void *values;
	struct cmd_args *args;
	int at; /* the token that argp reads next */
};

static size_t count(const struct argp_option *o)
{
	size_t n = 0;

	while (o && (o[n].name || o[n].key))
		n++;
	return n;
}

static struct argp_option *with_common(const struct cmd *cmd)
{
	size_t n = count(cmd->options), m = count(common);
	struct argp_option *all = calloc(n + m + 1, sizeof(*all));

	if (!all)
		return NULL;
	if (n)
		memcpy(all, cmd->options, n * sizeof(*all));
	memcpy(all + n, common, m * sizeof(*all));
	return all;
}

static const struct argp_option *by_key(const struct job *j, int key)
{
	for (const struct argp_option *o = j->options; o->name || o->key; o++)
		if (o->key == key)
			return o;
	return NULL;
}

static const struct argp_option *by_name(const struct job *j, const char *name, size_t n)
{
	for (const struct argp_option *o = j->options; o->name || o->key; o++)
		if (o->name && strlen(o->name) == n && memcmp(o->name, name, n) == 0)
			return o;
	return NULL;
}

static int usage_error(const struct job *j, const char *what, int len, const char *token)
{
	if (!j->cli->hint[0])
		cli_hint(j->cli, "%s --help", j->title);
	return err_set(&j->cli->err, ERR_INVALID, EINVAL, "%s: %s '%.*s'", j->title, what, len, token);
}

static int bad_long(const struct job *j, const char *token)
{
	size_t n = strcspn(token + 2, "=");
	const struct argp_option *o = by_name(j, token + 2, n), *near = NULL;

	if (o && o->arg)
		return usage_error(j, "a value is missing after", (int)n + 2, token);
	if (o)
		return usage_error(j, "no value belongs to", (int)n + 2, token);
	for (o = j->options; n > 1 && (o->name || o->key); o++)
		if (o->name && strncmp(o->name, token + 2, n) == 0)
			near = o;
	if (near)
		cli_hint(j->cli, "%s --%s", j->title, near->name);
	return usage_error(j, "unknown option", (int)n + 2, token);
}

/* Says what is wrong with the token that argp refused. */
static int bad_option(const struct job *j, const char *token)
{
	if (token[0] == '-' && token[1] == '-')
		return bad_long(j, token);
	for (const char *p = token + 1; token[0] == '-' && *p; p++) {
		const struct argp_option *o = by_key(j, (unsigned char)*p);
		char letter[3] = { '-', *p, 0 };

		if (!o)
			return usage_error(j, "unknown option", 2, letter);
		if (o->arg)
			return usage_error(j, "a value is missing after", 2, letter);
	}
	return usage_error(j, "cannot use", (int)strlen(token), token);
}

static bool abbreviated(const struct job *j, const char *token)
{
	return token[0] == '-' && token[1] == '-' && !by_name(j, token + 2, strcspn(token + 2, "="));
}

static int positional(struct job *j, char *arg, struct argp_state *st)
{
	struct cmd_args *a = j->args;

	if (st->quoted && st->next > st->quoted) {
		a->rest = st->argv + st->next - 1;
		a->nrest = (size_t)(st->argc - st->next + 1);
		st->next = st->argc;
		return 0;
	}
	a->pos[a->npos++] = arg;
	if (j->cmd->flags & CMD_TAKES_REST) {
		a->rest = st->argv + st->next;
		a->nrest = (size_t)(st->argc - st->next);
		st->next = st->argc;
	}
	return 0;
}

static int one(struct job *j, int key, char *arg, const char *token)
{
	if (abbreviated(j, token))
		return bad_long(j, token);
	if (key == 'h')
		j->cli->wants_help = true;
	else if (key == 'D')
		j->cli->debug = true;
	else
		return j->cmd->option(j->values, key, arg, &j->cli->err);
	return 0;
}

static error_t on_key(int key, char *arg, struct argp_state *st)
{
	struct job *j = st->input;
	int r = 0;

	switch (key) {
	case ARGP_KEY_INIT:
	case ARGP_KEY_END:
	case ARGP_KEY_NO_ARGS:
	case ARGP_KEY_SUCCESS:
	case ARGP_KEY_FINI:
	case ARGP_KEY_ERROR:
		return 0;
	case ARGP_KEY_ARGS:
		return ARGP_ERR_UNKNOWN;
	case ARGP_KEY_ARG:
		r = positional(j, arg, st);
		break;
	default:
		r = one(j, key, arg, st->argv[j->at]);
	}
	j->at = st->next;
	return r < 0 ? EINVAL : 0;
}

static int check_count(const struct job *j)
{
	const struct cmd *cmd = j->cmd;
	size_t n = j->args->npos;

	if (n >= cmd->min_args && n <= cmd->max_args)
		return 0;
	cli_hint(j->cli, "%s --help", j->title);
	if (n > cmd->max_args)
		return err_set(&j->cli->err, ERR_INVALID, EINVAL, "%s: unexpected argument '%s'", j->title,
			       j->args->pos[cmd->max_args]);
	return err_set(&j->cli->err, ERR_INVALID, EINVAL, "%s: missing argument: %s", j->title, cmd->args);
}

int opt_parse(struct cli *c, const struct cmd *cmd, const struct opt_line *line, void *values, struct cmd_args *ret)
{
	auto_free struct argp_option *options = with_common(cmd);
	auto_free const char **pos = calloc((size_t)line->argc + 1, sizeof(*pos));
	struct job j = { c, cmd, line->title, options, values, ret, 1 };
	struct argp argp = { .options = options, .parser = on_key };
	int r;

	if (!options || !pos)
		return err_set(&c->err, ERR_INTERNAL, ENOMEM, "out of memory");
	*ret = (struct cmd_args){ .pos = pos };
	r = argp_parse(&argp, line->argc, line->argv, ARGP_IN_ORDER | ARGP_NO_HELP | ARGP_NO_EXIT | ARGP_NO_ERRS, NULL, &j);
	if (r && c->err.kind == ERR_NONE)
		(void)bad_option(&j, line->argv[j.at < line->argc ? j.at : line->argc - 1]);
	else if (r && !c->hint[0])
		cli_hint(c, "%s --help", line->title);
	if (!r && !c->wants_help)
		r = check_count(&j);
	ret->pos = NULL;
	if (r)
		return c->wants_help ? 0 : -EINVAL;
	ret->pos = TAKE_PTR(pos);
	return 0;
}

/* "-m, --memory SIZE" as --help shows it. */
static void option_left(char *dst, size_t size, const struct argp_option *o)
{
	bool letter = o->key > ' ' && o->key < 127;
	char front[8] = "    ";

	if (letter)
		(void)str_format(front, sizeof(front), "-%c%s", o->key, o->name ? ", " : "");
	(void)str_format(dst, size, "%s%s%s%s%s", front, o->name ? "--" : "", o->name ? o->name : "", o->arg ? " " : "",
			 o->arg ? o->arg : "");
}

/* Wraps text at blanks; lines after the first start at `left`. */
static void wrapped(FILE *to, const char *text, int left)
{
	int room = 100 - left, col = 0;

	while (*text) {
		int n = (int)strcspn(text, " ");

		if (col && col + 1 + n > room) {
			(void)fprintf(to, "\n%*s", left, "");
			col = 0;
		}
		(void)fprintf(to, "%s%.*s", col ? " " : "", n, text);
		col += n + (col ? 1 : 0);
		text += n;
		text += strspn(text, " ");
	}
	(void)fputc('\n', to);
}

static void help_options(FILE *to, const struct argp_option *o)
{
	char left[OPT_TITLE_MAX];
	int width = 0;

	for (const struct argp_option *p = o; p->name || p->key; p++) {
		option_left(left, sizeof(left), p);
		if (!(p->flags & OPTION_HIDDEN) && (int)strlen(left) > width)
			width = (int)strlen(left);
	}
	(void)fputs("\nOptions:\n", to);
	for (; o->name || o->key; o++) {
		if (o->flags & OPTION_HIDDEN)
			continue;
		option_left(left, sizeof(left), o);
		(void)fprintf(to, "  %-*s  ", width, left);
		wrapped(to, o->doc ? o->doc : "", width + 4);
	}
}

static void help_subs(FILE *to, const struct cmd *cmd)
{
	int width = 0;

	for (const struct cmd *const *s = cmd->subs; *s; s++)
		if ((int)strlen((*s)->name) > width)
			width = (int)strlen((*s)->name);
	(void)fputs("\nCommands:\n", to);
	for (const struct cmd *const *s = cmd->subs; *s; s++)
		if (!((*s)->flags & CMD_HIDDEN))
			(void)fprintf(to, "  %-*s  %s\n", width, (*s)->name, (*s)->summary);
}

static void usage_line(FILE *to, const struct cmd *cmd, const char *title)
{
	(void)fprintf(to, "%s [OPTIONS]%s%s%s", title, cmd->subs ? " COMMAND" : "", cmd->args[0] ? " " : "", cmd->args);
}

void opt_help(FILE *to, const struct cmd *cmd, const char *title)
{
	auto_free struct argp_option *options = with_common(cmd);

	(void)fputs("Usage: ", to);
	usage_line(to, cmd, title);
	(void)fprintf(to, "\n\n%s\n", cmd->summary);
	if (cmd->doc)
		(void)fprintf(to, "\n%s\n", cmd->doc);
	if (cmd->subs)
		help_subs(to, cmd);
	if (options)
		help_options(to, options);
	if (cmd->subs)
		(void)fprintf(to, "\n%s COMMAND --help tells about one command.\n", title);
}

void opt_markdown(FILE *to, const struct cmd *cmd, const char *title, int heading)
{
	char left[OPT_TITLE_MAX];

	(void)fprintf(to, "\n%.*s `%s`\n\n%s.\n\n    ", heading, "######", title, cmd->summary);
	usage_line(to, cmd, title);
	(void)fputc('\n', to);
	if (cmd->doc)
		(void)fprintf(to, "\n%s\n", cmd->doc);
	if (count(cmd->options)) {
		(void)fputs("\n| option | meaning |\n|---|---|\n", to);
		for (const struct argp_option *o = cmd->options; o->name || o->key; o++) {
			option_left(left, sizeof(left), o);
			if (!(o->flags & OPTION_HIDDEN))
				(void)fprintf(to, "| `%s` | %s |\n", left + strspn(left, " "), o->doc);
		}
	}
	for (const struct cmd *const *s = cmd->subs; s && *s; s++) {
		char sub[OPT_TITLE_MAX];

		if (str_format(sub, sizeof(sub), "%s %s", title, (*s)->name) == 0 && !((*s)->flags & CMD_HIDDEN))
			opt_markdown(to, *s, sub, heading < 6 ? heading + 1 : 6);
	}
}
