/* SPDX-License-Identifier: Apache-2.0
 *
 * turn: what is to be done in the loop's next turn, so that no callback runs inside the call that caused it. An item is
 * embedded in its owner, runs once per post, and is forgotten by turn_drop, which every owner calls before it goes.
 */
#ifndef SBX_PROXY_TURN_H
#define SBX_PROXY_TURN_H

#include <stdbool.h>
#include <uv.h>

struct turn_item {
	struct turn *turn; /* borrowed while posted; NULL: not posted */
	struct turn_item *prev, *next;
	void (*run)(struct turn_item *i); /* may free the item's owner, and post anything */
};

struct turn {
	uv_idle_t idle; /* active while there is something to run */
	struct turn_item *first, *last;
	struct lingering *lingering; /* chan.c's */
	bool stopped;
};

int turn_init(struct turn *t, uv_loop_t *loop);
/* Runs what is posted, and from then on nothing; the memory may go once the loop has run. */
void turn_stop(struct turn *t);
/* Posting twice is once. */
void turn_post(struct turn *t, struct turn_item *i);
void turn_drop(struct turn_item *i);

#endif
