/* SPDX-License-Identifier: Apache-2.0
 *
 * times: how long a start took, and where, as two lines of the log:
 *
 *   event=start_times unit=ms NAME=MS...   since the start began, by what was reached
 *   event=setup_times unit=us NAME=US...   each step of the guest's /setup, as the guest says
 */
#ifndef SBX_VM_TIMES_H
#define SBX_VM_TIMES_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define TIMES_MAX 12

struct times {
	uint64_t began_ms;
	struct {
		const char *name; /* literal */
		uint64_t ms;
	} at[TIMES_MAX];
	size_t n;
};

void times_begin(struct times *t);
/* Something was reached; past TIMES_MAX it is not kept. */
void times_reached(struct times *t, const char *name);
/* setup: the guest's "times", or anything else, of which only numbers with plain names are taken. */
void times_log(const struct times *t, const json_t *setup);

#endif
