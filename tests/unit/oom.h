/* SPDX-License-Identifier: Apache-2.0
 *
 * oom: makes allocations fail in a unit test. Concerns what is linked into the test (our code), not what happens
 * inside shared libraries. Off at the start.
 *
 *	for (long n = 0;; n++) {
 *		oom_from(n);
 *		r = thing_new(&thing);
 *		if (!oom_off())
 *			break; // enough memory: r is the result of a run without failure
 *		assert_int_equal(r, -ENOMEM);
 *	}
 */
#ifndef SBX_TESTS_OOM_H
#define SBX_TESTS_OOM_H

#include <stdbool.h>

/* The allocation number n (0: the next one) and all after it fail, until oom_off. */
void oom_from(long n);
/* Allocations succeed again. Whether one failed. */
bool oom_off(void);

#endif
