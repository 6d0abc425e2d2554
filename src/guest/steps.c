/* SPDX-License-Identifier: Apache-2.0
 *
 * steps: see steps.h. There is one setup, so the state is the module's.
 */
#include "guest/steps.h"

#include <stdint.h>
#include <time.h>

#define STEPS_MAX 24

static struct {
	const char *name;
	uint64_t us;
} steps[STEPS_MAX];
static size_t nsteps;
static uint64_t last_us;

static uint64_t now_us(void)
{
	struct timespec t = { 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void steps_begin(void)
{
	nsteps = 0;
	last_us = now_us();
}

void steps_end_of(const char *name)
{
	uint64_t now = now_us();

	if (nsteps < STEPS_MAX) {
		steps[nsteps].name = name;
		steps[nsteps++].us = now - last_us;
	}
	last_us = now;
}

json_t *steps_json(void)
{
	json_t *o = json_object();

	for (size_t i = 0; o && i < nsteps; i++)
		(void)json_object_set_new(o, steps[i].name, json_integer((json_int_t)steps[i].us));
	return o;
}
