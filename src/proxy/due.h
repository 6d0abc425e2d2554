/* SPDX-License-Identifier: Apache-2.0
 *
 * due: deadlines that need no precision. One timer looks once a second at all that are set and calls those that are over, so
 * setting and dropping one costs nothing, and a due may be freed at once. It is embedded in its owner.
 */
#ifndef SBX_PROXY_DUE_H
#define SBX_PROXY_DUE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#define DUE_TICK_MS 1000

struct due {
	struct dues *set; /* borrowed while set; NULL: not set */
	struct due *prev, *next;
	uint64_t at_ms;
	void (*over)(struct due *d); /* at most a tick late; not set any more when called, may free anything */
};

struct dues {
	uv_timer_t timer; /* active while any is set */
	struct due first; /* head of a ring */
	struct due *walk; /* where the walk goes on, while it goes */
};

int dues_init(struct dues *s, uv_loop_t *loop);
/* Drops all; the memory may go when closed (NULL is allowed) is called, with the timer. */
void dues_stop(struct dues *s, uv_close_cb closed);
/* From now; replaces what was set. */
void due_set(struct dues *s, struct due *d, uint64_t ms);
void due_drop(struct due *d);

#endif
