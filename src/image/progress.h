/* SPDX-License-Identifier: Apache-2.0
 *
 * progress: what is being done, for a person or a program. On a terminal one line that changes in place, else one
 * line per step on stderr; with JSON one object per line on stdout ({"progress","step","steps","percent"?}).
 */
#ifndef SBX_IMAGE_PROGRESS_H
#define SBX_IMAGE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	bool json;
	bool terminal;
	int step;
	int steps;
	const char *what; /* borrowed, static; NULL: nothing is shown */
	int percent;      /* -1: not known */
	uint64_t began_ms;
	uint64_t shown_ms;
};

void progress_init(struct progress *p, bool json, int steps);
/* Step 0 is no step: something that comes before (waiting). */
void progress_step(struct progress *p, int step, const char *what);
void progress_percent(struct progress *p, int percent);
/* Time passed. */
void progress_tick(struct progress *p);
/* Ends the changing line, so that something else can be written. */
void progress_done(struct progress *p);

#endif
