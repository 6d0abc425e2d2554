/* SPDX-License-Identifier: Apache-2.0
 *
 * due: see due.h.
 */
#include "proxy/due.h"

#include <stddef.h>

static void unlink_due(struct due *d)
{
	if (d->set->walk == d)
		d->set->walk = d->next;
	d->prev->next = d->next;
	d->next->prev = d->prev;
	d->set = NULL;
}

static void on_tick(uv_timer_t *t)
{
	struct dues *s = t->data;
	uint64_t now = uv_now(t->loop);

	for (struct due *d = s->first.next; d != &s->first; d = s->walk) {
		s->walk = d->next;
		if (d->at_ms <= now) {
			unlink_due(d);
			d->over(d);
		}
	}
	s->walk = NULL;
	if (s->first.next == &s->first)
		(void)uv_timer_stop(t);
}

int dues_init(struct dues *s, uv_loop_t *loop)
{
	*s = (struct dues){ 0 };
	s->first.next = s->first.prev = &s->first;
	s->timer.data = s;
	return uv_timer_init(loop, &s->timer);
}

void dues_stop(struct dues *s, uv_close_cb closed)
{
	if (uv_is_closing((uv_handle_t *)&s->timer))
		return;
	while (s->first.next != &s->first)
		unlink_due(s->first.next);
	uv_close((uv_handle_t *)&s->timer, closed);
}

void due_set(struct dues *s, struct due *d, uint64_t ms)
{
	if (uv_is_closing((uv_handle_t *)&s->timer))
		return;
	d->at_ms = uv_now(s->timer.loop) + ms;
	if (d->set)
		return;
	d->set = s;
	/* At the front: a walk that goes on does not meet it. */
	d->prev = &s->first;
	d->next = s->first.next;
	d->prev->next = d;
	d->next->prev = d;
	if (!uv_is_active((uv_handle_t *)&s->timer))
		(void)uv_timer_start(&s->timer, on_tick, DUE_TICK_MS, DUE_TICK_MS);
}

void due_drop(struct due *d)
{
	if (d->set)
		unlink_due(d);
}
