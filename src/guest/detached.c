/* SPDX-License-Identifier: Apache-2.0
 *
 * detached: sessions without a host, see session.h. What was on its way to the host when it went is lost, at most a window
 * and a record; what the host had sent still goes to the process.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/own.h"
#include "guest/pty.h"
#include "guest/session_inner.h"
#include "guest/start.h"

void session_detach(struct session *s)
{
	s->stream = NULL;
	s->detached = true;
	s->old_input = buf_len(&s->wait) + buf_len(&s->sending);
	buf_consume(&s->in, buf_len(&s->in));
	/* Part of it went out on the old stream: what is left is no record. */
	buf_consume(&s->out, buf_len(&s->out));
	session_set_reading(s, false);
	(void)uv_timer_stop(&s->timer);
}

/* True: there was one too many, which ends. */
static bool one_too_many(struct guest *g)
{
	struct session *oldest = NULL;
	size_t n = 0;

	for (struct session *s = g->sessions; s; s = s->next) {
		if (!s->detached)
			continue;
		n++;
		if (!oldest || s->turn < oldest->turn)
			oldest = s;
	}
	if (n > SESSIONS_DETACHED)
		session_end(oldest);
	return n > SESSIONS_DETACHED;
}

void sessions_host_gone(struct guest *g, bool gone)
{
	g->host_gone = gone;
	while (!gone && one_too_many(g))
		;
}

size_t sessions_detached(const struct guest *g)
{
	size_t n = 0;

	for (const struct session *s = g->sessions; s; s = s->next)
		n += s->detached && !s->exited;
	return n;
}

char *sessions_list(const struct guest *g)
{
	json_t *o = json_pack("{s:[]}", "sessions"), *list = json_object_get(o, "sessions");
	char *text;

	for (const struct session *s = g->sessions; s && json_array_size(list) < SESSIONS_LISTED; s = s->next)
		if (s->pid > 0 && (s->stream || s->detached) && s->state != SESSION_OVER)
			(void)json_array_append_new(list, json_pack("{s:i, s:I, s:s, s:b, s:b, s:b}", "id", (int)s->pid, "turn", (json_int_t)s->turn, "program", s->program, "tty",
								    s->tty, "attached", !s->detached, "ended", s->exited));
	text = o ? json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
	json_decref(o);
	return text;
}

static struct session *find_detached(const struct guest *g, json_int_t id, struct err *err)
{
	struct session *found = NULL;

	for (struct session *s = g->sessions; s; s = s->next) {
		if (id > 0 && s->pid == id && s->stream && s->state != SESSION_OVER) {
			(void)err_set(err, ERR_CONFLICT, EBUSY, "session %lld is attached elsewhere", (long long)id);
			return NULL;
		}
		if (s->detached && (id == 0 || s->pid == id) && (!found || s->turn > found->turn))
			found = s;
	}
	if (!found && id == 0)
		(void)err_set(err, ERR_NOT_FOUND, ENOENT, "there is no session to attach to");
	else if (!found)
		(void)err_set(err, ERR_NOT_FOUND, ENOENT, "there is no session %lld to attach to", (long long)id);
	return found;
}

/* s's stream becomes d's; what is left of s goes. What came on it behind the START is d's, too. */
static void take_over(struct session *s, struct session *d, const struct start *st)
{
	d->stream = TAKE_PTR(s->stream);
	d->detached = false;
	d->turn = ++d->guest->session_turns;
	h2_set_user(d->stream, &d->cs);
	s->heir = d;
	s->state = SESSION_OVER;
	uv_close((uv_handle_t *)&s->timer, session_handle_closed);
	if (d->state == SESSION_STARTING)
		return; /* STARTED is still to come */
	session_say_started(d);
	if (d->master >= 0 && st->rows > 0)
		pty_resize(d->master, st->rows, st->cols);
	session_set_reading(d, buf_len(&d->out) == 0);
	if (d->state == SESSION_RUNNING && d->exited)
		session_drain(d);
	else
		session_try_finish(d);
}

/* True: it was one, and s is no more than the START's bytes. */
bool session_attach(struct session *s, const struct record *rec)
{
	struct err err = { 0 };
	struct start st = { 0 };
	struct session *d;
	json_int_t id;
	int r = start_attach(rec->data, rec->len, &id, &st, &err);

	if (r == 0)
		return false;
	d = r > 0 ? find_detached(s->guest, id, &err) : NULL;
	if (d)
		take_over(s, d, &st);
	else
		session_fail(s, &err);
	return true;
}
