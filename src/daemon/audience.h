/* SPDX-License-Identifier: Apache-2.0
 *
 * audience: those who wait for one long piece of work and hear of its progress. Whoever joins late hears the last line
 * of progress; everybody hears the last word, once, and nothing after it.
 */
#ifndef SBX_DAEMON_AUDIENCE_H
#define SBX_DAEMON_AUDIENCE_H

#include <jansson.h>
#include <stdbool.h>
#include <uv.h>

#include "base/err.h"

#define AUDIENCE_MAX 64

/* Called with one JSON object per line (borrowed); last: the result or the error. Never inside audience_join. */
typedef void audience_line(void *user, const json_t *line, bool last);

struct audience {
	struct {
		audience_line *line;
		void *user;
	} list[AUDIENCE_MAX];
	size_t n, greeted; /* how many of them have heard `latest` */
	json_t *latest;    /* owned; NULL: nothing was said */
	uv_idle_t greet;   /* runs while somebody has not */
};

void audience_init(struct audience *a, uv_loop_t *loop);
/* unavailable where there are too many. */
int audience_join(struct audience *a, audience_line *line, void *user, const char *what, struct err *err);
void audience_say(struct audience *a, const json_t *line);
/* The last word; a listener may make a new audience inside, but not touch this one. */
void audience_end(struct audience *a, const json_t *last);
/* Once, after audience_end: closed is called when the handle is gone; its data is user. */
void audience_close(struct audience *a, uv_close_cb closed, void *user);

#endif
