/* SPDX-License-Identifier: Apache-2.0
 *
 * table: widths, cleaning. agents: the rule of the arguments. attach: the exit status of a program that did not run.
 */
#include "unit.h"

#include <errno.h>

#include "cli/agents.h"
#include "cli/attach.h"
#include "cli/table.h"

static void columns(void **state)
{
	char cells[6][20] = { "NAME", "X", "LAST", "\xc3\xa9t\xc3\xa9", "longer", "a\033[1mb" };
	char *rows[6], *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	for (size_t i = 0; i < 6; i++)
		rows[i] = cells[i];
	table_print(f, rows, 2, 3);
	assert_int_equal(fclose(f), 0);
	assert_string_equal(text, "NAME  X       LAST\n\xc3\xa9t\xc3\xa9   longer  a?[1mb\n");
	free(text);
}

static void clean(void **state)
{
	char s[] = "a\tb\x7f" "c\xc2\x9b" "d\xc2\xa0\xc3\xa9", empty[] = "", cut[] = "x\xc2";

	table_clean(s);
	assert_string_equal(s, "a?b?c??d\xc2\xa0\xc3\xa9");
	table_clean(empty);
	table_clean(cut);
	assert_string_equal(cut, "x\xc2");
}

static void expect_argv(const char *const *args, size_t n, const char *expected)
{
	json_t *agent = json_pack("{s:[s, s]}", "command", "bash", "-l"), *v = agents_argv(agent, (char *const *)(uintptr_t)args, n);
	char *text;

	json_decref(agent);
	assert_non_null(v);
	text = json_dumps(v, JSON_COMPACT);
	assert_string_equal(text, expected);
	free(text);
	json_decref(v);
}

static void agent_args(void **state)
{
	const char *option[] = { "-c", "true" }, *command[] = { "ls", "-l" }, *bad[] = { "\xff" };

	expect_argv(NULL, 0, "[\"bash\",\"-l\"]");
	expect_argv(option, 2, "[\"bash\",\"-l\",\"-c\",\"true\"]");
	expect_argv(command, 2, "[\"ls\",\"-l\"]");
	assert_null(agents_argv(NULL, (char *const *)(uintptr_t)bad, 1));
	assert_null(agents_argv(NULL, NULL, 0));
}

static void statuses(void **state)
{
	assert_int_equal(attach_failed_status(ENOENT), 127);
	assert_int_equal(attach_failed_status(EACCES), 126);
	assert_int_equal(attach_failed_status(ENOEXEC), 126);
	assert_int_equal(attach_failed_status(EISDIR), 126);
	assert_int_equal(attach_failed_status(ENOMEM), 125);
	assert_int_equal(attach_failed_status(0), 125);
	assert_int_equal(attach_failed_status(-1), 125);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns),
		cmocka_unit_test(clean),
		cmocka_unit_test(agent_args),
		cmocka_unit_test(statuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
