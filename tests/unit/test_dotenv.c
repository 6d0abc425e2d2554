/* SPDX-License-Identifier: Apache-2.0
 *
 * dotenv: what the common readers agree about.
 */
#include "unit.h"

#include <errno.h>

#include "wire/dotenv.h"

static struct dotenv_entry e;
static struct dotenv d;

static void begin(const char *text)
{
	dotenv_init(&d, text, strlen(text));
}

static void gives(const char *name, const char *value)
{
	assert_int_equal(dotenv_next(&d, &e), 1);
	assert_string_equal(e.name, name);
	assert_string_equal(e.value, value);
}

static void usual(void **state)
{
	begin("# c\n\nA=1\n  export B = two words # c\nC=a#b\nD=\nE='$x \\n # '\nF=\"a\\\"b\\n\\q\" # c\nG='l1\nl2'\r\nH=8\r\nI=9");
	gives("A", "1");
	assert_int_equal(d.line, 3);
	gives("B", "two words");
	gives("C", "a#b");
	gives("D", "");
	gives("E", "$x \\n # ");
	gives("F", "a\"b\n\\q");
	gives("G", "l1\nl2");
	gives("H", "8");
	assert_int_equal(d.line, 11);
	gives("I", "9");
	assert_int_equal(dotenv_next(&d, &e), 0);
}

static void wrong(void **state)
{
	char big[DOTENV_VALUE + 10];

	begin("A\n1B=2\nC=\"x\" y\nD=4\nE=\"open\n");
	for (size_t line = 1; line <= 3; line++) {
		assert_int_equal(dotenv_next(&d, &e), -EBADMSG);
		assert_int_equal(d.line, line);
	}
	gives("D", "4");
	assert_int_equal(dotenv_next(&d, &e), -EBADMSG);
	assert_int_equal(d.line, 5);
	assert_int_equal(dotenv_next(&d, &e), 0);
	memset(big, 'x', sizeof(big));
	memcpy(big, "A=", 2);
	dotenv_init(&d, big, sizeof(big));
	assert_int_equal(dotenv_next(&d, &e), -EMSGSIZE);
	assert_int_equal(dotenv_next(&d, &e), 0);
	dotenv_init(&d, "A=x\0y", 5);
	assert_int_equal(dotenv_next(&d, &e), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(usual),
		cmocka_unit_test(wrong),
	};

	return cmocka_run_group_tests_name("dotenv", tests, NULL, NULL);
}
