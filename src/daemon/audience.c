/* SPDX-License-Identifier: Apache-2.0
 *
 * audience: see audience.h.
 */
#include "daemon/audience.h"

#include <errno.h>
#include <string.h>

static void on_greet(uv_idle_t *h)
{
	struct audience *a = h->data;

	(void)uv_idle_stop(h);
	for (; a->latest && a->greeted < a->n; a->greeted++)
		a->list[a->greeted].line(a->list[a->greeted].user, a->latest, false);
}

void audience_init(struct audience *a, uv_loop_t *loop)
{
	*a = (struct audience){ 0 };
	(void)uv_idle_init(loop, &a->greet);
	a->greet.data = a;
}

int audience_join(struct audience *a, audience_line *line, void *user, const char *what, struct err *err)
{
	if (a->n == AUDIENCE_MAX)
		return err_set(err, ERR_UNAVAILABLE, EAGAIN, "too many callers wait for %s: try again", what);
	a->list[a->n].line = line;
	a->list[a->n++].user = user;
	if (a->latest)
		(void)uv_idle_start(&a->greet, on_greet);
	return 0;
}

void audience_say(struct audience *a, const json_t *line)
{
	json_decref(a->latest);
	a->latest = json_deep_copy(line);
	for (size_t i = 0; i < a->n; i++)
		a->list[i].line(a->list[i].user, line, false);
	a->greeted = a->n;
}

void audience_end(struct audience *a, const json_t *last)
{
	struct audience now = *a;

	a->n = 0;
	(void)uv_idle_stop(&a->greet);
	for (size_t i = 0; i < now.n; i++)
		now.list[i].line(now.list[i].user, last, true);
}

void audience_close(struct audience *a, uv_close_cb closed, void *user)
{
	json_decref(a->latest);
	a->latest = NULL;
	a->greet.data = user;
	uv_close((uv_handle_t *)&a->greet, closed);
}
