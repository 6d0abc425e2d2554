/* SPDX-License-Identifier: Apache-2.0
 *
 * openmsg: lines as they are written, in any portions, and what is no line.
 */
#include "unit.h"

#include <errno.h>

#include "wire/openmsg.h"

static void there_and_back(void **state)
{
	struct openmsg m;
	struct buf b;
	size_t n;

	buf_init(&b, 2 * OPENMSG_LINE_MAX);
	assert_int_equal(openmsg_put(&b, 4294967295U, "no because \xc3\xa9", 13), 0);
	n = buf_len(&b);
	assert_int_equal(openmsg_put(&b, 7, "ok", 2), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(openmsg_take(buf_bytes(&b), i, &m), 0);
	assert_int_equal(openmsg_take(buf_bytes(&b), buf_len(&b), &m), (long)n);
	assert_true(m.id == 4294967295U && m.n == 13 && memcmp(m.text, "no because", 10) == 0);
	buf_consume(&b, n);
	assert_int_equal(openmsg_take(buf_bytes(&b), buf_len(&b), &m), 5);
	assert_true(m.id == 7 && m.n == 2);
	assert_int_equal(openmsg_put(&b, 0, "ok", 2), -EINVAL);
	assert_int_equal(openmsg_put(&b, 1, "", 0), -EINVAL);
	assert_int_equal(openmsg_put(&b, 1, "a\nb", 3), -EINVAL);
	buf_done(&b);
}

static void no_line(void **state)
{
	static const char *const lines[] = { "\n", " \n", "1\n", "1 \n", "01 x\n", "0 x\n", "x x\n", "-1 x\n", "1  \x01\n", "4294967296 x\n",
					     "1\tx\n", "99999999999999999999 x\n", "1 a\x7f\n", "1 a\r\n" };
	static char longest[OPENMSG_LINE_MAX + 2];
	struct openmsg m;

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		if (openmsg_take((const uint8_t *)lines[i], strlen(lines[i]), &m) != -EPROTO)
			fail_msg("line %zu was taken", i);
	memset(longest, '1', sizeof(longest));
	assert_int_equal(openmsg_take((const uint8_t *)longest, OPENMSG_LINE_MAX - 1, &m), 0);
	assert_int_equal(openmsg_take((const uint8_t *)longest, OPENMSG_LINE_MAX, &m), -EPROTO);
	memcpy(longest, "1 ", 2);
	longest[2 + OPENMSG_TEXT_MAX] = '\n';
	assert_int_equal(openmsg_take((const uint8_t *)longest, sizeof(longest), &m), 3 + OPENMSG_TEXT_MAX);
	longest[2 + OPENMSG_TEXT_MAX] = '1';
	longest[3 + OPENMSG_TEXT_MAX] = '\n';
	assert_int_equal(openmsg_take((const uint8_t *)longest, sizeof(longest), &m), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(there_and_back), cmocka_unit_test(no_line) };

	return cmocka_run_group_tests_name("openmsg", tests, NULL, NULL);
}
