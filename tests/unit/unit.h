/* SPDX-License-Identifier: Apache-2.0
 *
 * unit: what a cmocka test needs before cmocka.h, and a directory of its own for tests that make files.
 */
#ifndef SBX_TESTS_UNIT_H
#define SBX_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/io.h"

static inline void unit_tmpdir_make(char *dst, size_t size)
{
	const char *base = getenv("TMPDIR");
	int n = snprintf(dst, size, "%s/sbx-unit.XXXXXX", base ? base : "/tmp");

	assert_true(n > 0 && (size_t)n < size);
	assert_non_null(mkdtemp(dst));
}

static inline void unit_tmpdir_remove(const char *dir)
{
	assert_int_equal(io_remove_tree(-100 /* AT_FDCWD */, dir), 0);
}

#endif
