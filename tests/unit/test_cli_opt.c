/* SPDX-License-Identifier: Apache-2.0
 *
 * opt: order, "--", clusters, abbreviations and what is said about each kind of mistake.
 */
#include "unit.h"

#include <errno.h>

#include "base/own.h"
#include "base/str.h"
#include "cli/opt.h"

struct values {
	int flags, letters;
	const char *name, *env;
};

static const struct argp_option options[] = {
	{ "quiet", 'q', NULL, 0, "", 0 },
	{ "name", 0x100, "NAME", 0, "", 0 },
	{ "env", 'e', "X", 0, "", 0 },
	{ "env-file", 0x101, "F", 0, "", 0 },
	{ NULL, 'z', NULL, 0, "", 0 },
	{ 0 },
};

static int option(void *values, int key, const char *arg, struct err *err)
{
	struct values *v = values;

	if (key == 'q' || key == 'z')
		v->letters++;
	else if (key == 0x100)
		v->name = arg;
	else
		v->env = arg;
	v->flags++;
	return arg && str_eq(arg, "bad") ? err_set(err, ERR_INVALID, EINVAL, "bad value") : 0;
}

static struct cmd cmd = {
	.name = "test", .args = "A", .summary = "", .options = options, .max_args = 3, .option = option
};

static struct cli cli;
static struct values values;
static struct cmd_args args;

/* Parses a NULL-terminated argv. */
static int parse(const char *const *argv)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	cli = (struct cli){ 0 };
	values = (struct values){ 0 };
	free(args.pos);
	args = (struct cmd_args){ 0 };
	return opt_parse(&cli, &cmd, &(struct opt_line){ "sbx test", argc, (char **)(uintptr_t)argv }, &values, &args);
}
#define PARSE(...) parse((const char *const[]){ "test", ##__VA_ARGS__, NULL })
#define REFUSED(what, ...)                                    \
	do {                                                  \
		assert_true(PARSE(__VA_ARGS__) < 0);          \
		if (!strstr(cli.err.msg, what))               \
			fail_msg("no '%s' in '%s'", what, cli.err.msg); \
		assert_true(cli.hint[0] != 0);                \
	} while (0)

static void accepted(void **state)
{
	cmd.flags = 0;
	assert_int_equal(PARSE(), 0);
	assert_int_equal(PARSE("-qz", "one", "--name", "n", "two", "--env=--x", "-D"), 0);
	assert_int_equal(values.letters, 2);
	assert_string_equal(values.name, "n");
	assert_string_equal(values.env, "--x");
	assert_true(cli.debug);
	assert_int_equal(args.npos, 2);
	assert_string_equal(args.pos[1], "two");
	assert_int_equal(PARSE("-qeA"), 0);
	assert_string_equal(values.env, "A");
	assert_int_equal(PARSE("-", "--name", "--"), 0);
	assert_string_equal(args.pos[0], "-");
	assert_string_equal(values.name, "--");
	assert_int_equal(args.nrest, 0);
}

static void rest(void **state)
{
	cmd.flags = 0;
	assert_int_equal(PARSE("a", "--", "-q", "--", "x"), 0);
	assert_int_equal(args.npos, 1);
	assert_int_equal(args.nrest, 3);
	assert_string_equal(args.rest[0], "-q");
	assert_string_equal(args.rest[1], "--");
	assert_int_equal(values.flags, 0);
	assert_int_equal(PARSE("a", "--"), 0);
	assert_int_equal(args.nrest, 0);
}

static void first_ends(void **state)
{
	cmd.flags = CMD_TAKES_REST;
	assert_int_equal(PARSE("-q", "box", "ls", "-q", "--", "--name"), 0);
	assert_int_equal(values.letters, 1);
	assert_int_equal(args.npos, 1);
	assert_int_equal(args.nrest, 4);
	assert_string_equal(args.rest[0], "ls");
	assert_string_equal(args.rest[3], "--name");
	cmd.flags = 0;
}

static void refused(void **state)
{
	cmd.flags = 0;
	REFUSED("unknown option '--nam'", "--nam", "x");
	assert_string_equal(cli.hint, "sbx test --name");
	REFUSED("unknown option '--na'", "-q", "--na=x", "one");
	REFUSED("unknown option '--qui'", "a", "--qui");
	REFUSED("unknown option '--deb'", "--deb", "-D");
	REFUSED("unknown option '--en'", "--en", "x"); /* two could be meant */
	REFUSED("unknown option '--nothing'", "--nothing");
	REFUSED("unknown option '-x'", "-x");
	REFUSED("unknown option '-x'", "-qx");
	REFUSED("unknown option '-x'", "-xq");
	REFUSED("value is missing after '-e'", "-qe");
	REFUSED("value is missing after '--name'", "--name");
	REFUSED("no value belongs to '--quiet'", "--quiet=1");
	REFUSED("unexpected argument 'd'", "a", "b", "c", "d");
	REFUSED("bad value", "-e", "bad");
	cmd.min_args = 1;
	REFUSED("missing argument: A", "-q");
	cmd.min_args = 0;
	assert_null(args.pos);
}

static void help(void **state)
{
	cmd.min_args = 1;
	assert_int_equal(PARSE("--help"), 0);
	assert_true(cli.wants_help);
	assert_int_equal(PARSE("-qh", "a"), 0);
	assert_true(cli.wants_help);
	cmd.min_args = 0;
}

/* Every option of every command is described, has a place in --help, and no two share a key or a name. */
static void check_table(const struct cmd *c)
{
	for (const struct argp_option *o = c->options; o && (o->name || o->key); o++) {
		assert_true(o->doc && o->doc[0]);
		assert_true(o->key != 'h' && o->key != 'D');
		for (const struct argp_option *p = o + 1; p->name || p->key; p++)
			assert_true(p->key != o->key && !str_eq(p->name, o->name));
	}
	assert_true(c->summary[0] && !str_ends(c->summary, "."));
	assert_true(c->subs || c->run);
	for (const struct cmd *const *s = c->subs; s && *s; s++)
		check_table(*s);
}

static void tables(void **state)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	check_table(&cli_root);
	assert_non_null(f);
	opt_help(f, &cmd_run, "sbx run");
	opt_markdown(f, &cli_root, "sbx", 2);
	assert_int_equal(fclose(f), 0);
	assert_non_null(strstr(text, "-m, --memory SIZE"));
	assert_non_null(strstr(text, "### `sbx daemon`"));
	assert_null(strstr(text, "--markdown"));
	free(text);
}

static int drop(void **state)
{
	free(args.pos);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepted), cmocka_unit_test(rest), cmocka_unit_test(first_ends),
		cmocka_unit_test(refused),  cmocka_unit_test(help), cmocka_unit_test(tables),
	};

	return cmocka_run_group_tests(tests, NULL, drop);
}
