/* SPDX-License-Identifier: Apache-2.0
 *
 * turn: see turn.h. An idle handle makes the loop's poll return at once as long as there is something to run.
 */
#include "proxy/turn.h"

#include <stddef.h>

static void on_idle(uv_idle_t *h)
{
	struct turn *t = h->data;
	struct turn_item end = { .turn = t };

	/* Whatever is posted from here on waits for the next turn. */
	end.prev = t->last;
	if (t->last)
		t->last->next = &end;
	else
		t->first = &end;
	t->last = &end;
	while (t->first != &end) {
		struct turn_item *i = t->first;

		turn_drop(i);
		i->run(i);
	}
	turn_drop(&end);
	if (!t->first)
		(void)uv_idle_stop(&t->idle);
}

int turn_init(struct turn *t, uv_loop_t *loop)
{
	int r;

	*t = (struct turn){ .stopped = false };
	r = uv_idle_init(loop, &t->idle);
	t->idle.data = t;
	return r;
}

void turn_stop(struct turn *t)
{
	if (t->stopped)
		return;
	while (t->first) {
		struct turn_item *i = t->first;

		turn_drop(i);
		i->run(i);
	}
	t->stopped = true;
	uv_close((uv_handle_t *)&t->idle, NULL);
}

void turn_post(struct turn *t, struct turn_item *i)
{
	if (i->turn || t->stopped)
		return;
	i->turn = t;
	i->next = NULL;
	i->prev = t->last;
	if (t->last)
		t->last->next = i;
	else
		t->first = i;
	t->last = i;
	(void)uv_idle_start(&t->idle, on_idle);
}

void turn_drop(struct turn_item *i)
{
	struct turn *t = i->turn;

	if (!t)
		return;
	if (i->prev)
		i->prev->next = i->next;
	else
		t->first = i->next;
	if (i->next)
		i->next->prev = i->prev;
	else
		t->last = i->prev;
	i->turn = NULL;
	i->prev = i->next = NULL;
}
