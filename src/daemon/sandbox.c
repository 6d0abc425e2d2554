/* SPDX-License-Identifier: Apache-2.0
 *
 * sandbox: see sandbox.h. Every change of state goes through one of: begin (spawned), attach (watching), on_message,
 * gone.
 */
#include "daemon/sandbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "daemon/boot.h"
#include "daemon/field.h"
#include "daemon/pause.h"
#include "daemon/ports.h"
#include "daemon/rules.h"
#include "daemon/spare.h"
#include "daemon/template.h"
#include "daemon/vmlink.h"

#define SILENT_MS 10000 /* for the first word of a supervisor that was found */
#define STOP_SLACK_MS 20000
#define KEEP_MS 2000
#define SELF_STOP_MS 60000 /* a machine that stops by itself and never ends */
#define SETTLE_STEP_MS 20
#define SETTLE_MAX_MS 5000
#define LOST_STEP_MS 1000

static void settle(struct sandbox *s);

/* --- the list --- */

static void on_timer_closed(uv_handle_t *h)
{
	free(h->data);
}

struct sandbox *sandbox_new(struct daemon *d, struct store_row *row)
{
	struct sandbox *s = calloc(1, sizeof(*s)), **at = &d->sandboxes;

	if (!s)
		return NULL;
	s->daemon = d;
	s->row = *row;
	*row = (struct store_row){ 0 };
	(void)uv_timer_init(&d->loop, &s->timer);
	s->timer.data = s;
	while (*at && strcmp((*at)->row.name, s->row.name) < 0)
		at = &(*at)->next;
	s->next = *at;
	*at = s;
	return s;
}

void sandbox_free(struct sandbox *s)
{
	struct sandbox **at = &s->daemon->sandboxes;

	while (*at && *at != s)
		at = &(*at)->next;
	if (*at)
		*at = s->next;
	vmlink_close(s->watch);
	store_row_done(&s->row);
	uv_close((uv_handle_t *)&s->timer, on_timer_closed);
}

struct sandbox *sandbox_find(struct daemon *d, const char *name, struct err *err)
{
	char shown[200];

	for (struct sandbox *s = d->sandboxes; s; s = s->next)
		if (str_eq(s->row.name, name) || str_eq(s->row.id, name))
			return s;
	str_escape(shown, sizeof(shown), name, strlen(name));
	(void)err_set(err, ERR_NOT_FOUND, ENOENT, "sandbox '%s' not found", shown);
	return NULL;
}

struct vmlink_call sandbox_call(const struct sandbox *s, json_t *request, uint64_t timeout_ms)
{
	return (struct vmlink_call){ .loop = &s->daemon->loop,
				     .vm_dirfd = s->daemon->vm_fd,
				     .id = s->row.id,
				     .request = request,
				     .timeout_ms = timeout_ms };
}

/* --- those who wait --- */

static int wait_add(struct sandbox *s, struct sandbox_waits *w, sandbox_done *done, void *user, struct err *err)
{
	if (w->n == SANDBOX_WAITERS_MAX)
		return err_set(err, ERR_UNAVAILABLE, EAGAIN, "too many callers wait for sandbox '%s': try again",
			       s->row.name);
	w->list[w->n++] = (struct sandbox_wait){ done, user };
	return 0;
}

/* Tells everybody. A callback may remove the sandbox, so that nothing is touched after the last one; true: it may be
 * gone. */
static bool wait_end(struct sandbox *s, struct sandbox_waits *w, const struct err *err)
{
	struct sandbox_waits now = *w;

	w->n = 0;
	for (size_t i = 0; i < now.n; i++)
		now.list[i].done(now.list[i].user, s, err);
	return now.n > 0;
}

static void fail_starters(struct sandbox *s, const struct err *err)
{
	s->start_again = false;
	(void)wait_end(s, &s->starters, err);
}

/* --- the watch --- */

static void on_deadline(uv_timer_t *t)
{
	struct sandbox *s = t->data;
	struct err err;

	if (s->state == SANDBOX_STARTING && s->silent) {
		/* Not ours to kill: it may be stopped by a debugger, and was not asked to end. */
		(void)err_set(&s->last_error, ERR_TIMEOUT, ETIMEDOUT,
			      "sandbox '%s' was found but does not answer: `sbx stop %s` ends it", s->row.name,
			      s->row.name);
		fail_starters(s, &s->last_error);
		return;
	}
	if (s->state == SANDBOX_STARTING) {
		(void)err_set(&err, ERR_TIMEOUT, ETIMEDOUT,
			      "sandbox '%s' did not start in time: see %.200s/%s/vm.log, or raise daemon.bootTimeout",
			      s->row.name, s->daemon->disks.path, s->row.id);
		s->last_error = err;
	}
	log_warn("event=deadline id=%s state=%s", s->row.id, sandbox_status(s));
	s->state = SANDBOX_STOPPING;
	(void)boot_kill(s);
	s->killed = true;
	/* The end of the watch follows; should it not, look at the lock. */
	vmlink_close(TAKE_PTR(s->watch));
	if (s->last_error.kind != ERR_NONE && !s->start_again)
		fail_starters(s, &s->last_error);
	settle(s);
}

static void arm(struct sandbox *s, uint64_t ms)
{
	(void)uv_timer_start(&s->timer, on_deadline, ms, 0);
}

static void note_used(struct sandbox *s)
{
	struct err err;
	char now[STORE_TIME_SIZE];

	store_now(now);
	if (store_set_last_used(s->daemon->store, s->row.id, now, &err) < 0)
		log_warn("event=store id=%s error=\"%s\"", s->row.id, err.msg);
	else
		(void)str_format(s->row.last_used_at, sizeof(s->row.last_used_at), "%s", now);
}

static void note_facts(struct sandbox *s, const json_t *event)
{
	json_int_t n = json_integer_value(json_object_get(event, "sessions"));
	const char *accel = json_string_value(json_object_get(event, "accel"));
	const json_t *error = json_object_get(event, "error");
	unsigned sessions = n > 0 && n < 1000000 ? (unsigned)n : 0;

	if (json_is_object(error) && !s->stop_asked)
		vmlink_error(error, &s->last_error);
	else if (s->state == SANDBOX_RUNNING)
		s->last_error = (struct err){ 0 }; /* what did not work does so again */
	if ((sessions == 0) != (s->sessions == 0))
		note_used(s);
	s->sessions = sessions;
	if (accel)
		str_escape(s->accel, sizeof(s->accel), accel, strlen(accel));
}

static void on_running(struct sandbox *s)
{
	if (s->state != SANDBOX_STARTING)
		return; /* known already, or an event that crossed our stop */
	s->state = SANDBOX_RUNNING;
	(void)uv_timer_stop(&s->timer);
	log_info("event=running id=%s name=%s accel=%s", s->row.id, s->row.name, s->accel);
	(void)wait_end(s, &s->starters, NULL);
}

/* stopping, stopped, failed: the end of the watch follows. */
static void on_ending(struct sandbox *s, bool failed)
{
	struct err err;

	if (s->state == SANDBOX_STARTING && !s->start_again && s->starters.n > 0) {
		if (failed && s->last_error.kind != ERR_NONE)
			err = s->last_error;
		else
			(void)err_set(&err, ERR_CONFLICT, ECANCELED, "sandbox '%s' was stopped while it started",
				      s->row.name);
		fail_starters(s, &err);
	}
	if (!s->stop_asked)
		arm(s, SELF_STOP_MS);
	s->state = SANDBOX_STOPPING;
	s->stop_asked = true; /* it said so itself: no crash */
}

static void on_message(void *user, json_t *event)
{
	struct sandbox *s = user;
	const char *state = json_string_value(json_object_get(event, "state"));

	if (!state)
		return; /* a refusal: it is about to end */
	if (s->silent && s->last_error.kind == ERR_TIMEOUT)
		s->last_error = (struct err){ 0 };
	s->silent = false;
	s->resumed = json_is_true(json_object_get(event, "resumed"));
	note_facts(s, event);
	if (str_eq(state, "running")) {
		ports_note(s, json_object_get(event, "ports"));
		on_running(s);
	} else if (str_eq(state, "stopping") || str_eq(state, "stopped") || str_eq(state, "failed"))
		on_ending(s, str_eq(state, "failed"));
}

static int begin(struct sandbox *s, struct err *err);

/* The supervisor is gone for sure. */
static void gone(struct sandbox *s)
{
	enum sandbox_state was = s->state;
	struct err err = s->last_error;

	(void)uv_timer_stop(&s->timer);
	boot_unlink_socket(s);
	if (!s->stop_asked && s->last_error.kind == ERR_NONE)
		(void)err_set(
			&s->last_error, ERR_INTERNAL, EPIPE,
			"the machine of sandbox '%s' ended unexpectedly: see %.200s/%s/vm.log; it can be started again",
			s->row.name, s->daemon->disks.path, s->row.id);
	err = s->last_error;
	log_info("event=stopped id=%s name=%s was=%d error=\"%s\"", s->row.id, s->row.name, (int)was,
		 err.kind ? err.msg : "");
	s->state = SANDBOX_STOPPED;
	s->sessions = 0;
	s->accel[0] = 0;
	s->killed = false;
	(void)pause_look(s, NULL); /* and again before the next start */
	s->resumed = false;
	if (s->start_again && s->starters.n > 0 && !s->removing && !s->copying) {
		s->start_again = false;
		if (begin(s, &err) < 0)
			fail_starters(s, &err);
	} else if (s->starters.n > 0) {
		if (err.kind == ERR_NONE)
			(void)err_set(&err, ERR_CONFLICT, ECANCELED, "sandbox '%s' was stopped", s->row.name);
		fail_starters(s, &err);
	}
	/* Last: one of them may remove the sandbox. */
	(void)wait_end(s, &s->stoppers, NULL);
}

static void on_settle(uv_timer_t *t)
{
	settle(t->data);
}

/* The connection ended; the process may take a moment longer. Waits for its lock, kills it where it does not go. */
static void settle(struct sandbox *s)
{
	if (!boot_is_alive(s)) {
		gone(s);
		return;
	}
	if (s->settle_until_ms == 0)
		s->settle_until_ms = io_now_ms() + SETTLE_MAX_MS;
	if (io_now_ms() >= s->settle_until_ms) {
		if (s->killed)
			log_error("event=still_alive id=%s", s->row.id);
		(void)boot_kill(s);
		s->killed = true;
		s->settle_until_ms = io_now_ms() + SETTLE_MAX_MS;
	}
	(void)uv_timer_start(&s->timer, on_settle, s->settle_step_ms, 0);
	if (s->settle_step_ms < SETTLE_STEP_MS)
		s->settle_step_ms *= 2;
}

static void on_watch_end(void *user, int error)
{
	struct sandbox *s = user;

	s->watch = NULL;
	s->silent = false;
	if (error)
		log_warn("event=watch_lost id=%s error=\"%s\"", s->row.id, strerror(-error));
	if (s->state == SANDBOX_STARTING && !s->stop_asked && s->last_error.kind == ERR_NONE)
		(void)err_set(&s->last_error, ERR_INTERNAL, EPIPE,
			      "the supervisor of sandbox '%s' ended while it started: see %.200s/%s/vm.log",
			      s->row.name, s->daemon->disks.path, s->row.id);
	s->state = SANDBOX_STOPPING;
	s->settle_until_ms = 0;
	s->settle_step_ms = 1;
	settle(s);
}

static const struct vmlink_ops watch_ops = { .message = on_message, .end = on_watch_end };

static int attach(struct sandbox *s, struct err *err)
{
	struct vmlink_call call = sandbox_call(s, json_pack("{s:s}", "op", "watch"), 0);

	s->watch = vmlink_open(&call, &watch_ops, s, err);
	if (!s->watch)
		return err_code(err);
	s->settle_until_ms = 0;
	s->settle_step_ms = 1;
	s->killed = false;
	s->stop_asked = false;
	return 0;
}

/* --- adoption --- */

static void on_lost_look(uv_timer_t *t)
{
	struct sandbox *s = t->data;

	if (!boot_is_alive(s))
		gone(s);
}

void sandbox_adopt(struct sandbox *s)
{
	struct err err = { 0 };

	if (attach(s, &err) == 0) {
		/* Taken as starting until its first event says more. */
		s->state = SANDBOX_STARTING;
		s->silent = true;
		arm(s, SILENT_MS);
		log_info("event=adopted id=%s name=%s", s->row.id, s->row.name);
		return;
	}
	if (!boot_is_alive(s)) {
		boot_unlink_socket(s);
		(void)pause_look(s, NULL);
		return;
	}
	log_warn("event=lost id=%s error=\"%s\"", s->row.id, err.msg);
	(void)err_set(
		&s->last_error, ERR_UNAVAILABLE, ECONNREFUSED,
		"sandbox '%s' runs but cannot be reached (its socket in %.200s/vm is gone): `sbx stop %s` ends it",
		s->row.name, s->daemon->dirs.runtime, s->row.name);
	s->state = SANDBOX_LOST;
	(void)uv_timer_start(&s->timer, on_lost_look, LOST_STEP_MS, LOST_STEP_MS);
}

/* --- orders --- */

/* Spawns and watches; only from STOPPED. */
static int begin(struct sandbox *s, struct err *err)
{
	uint64_t timeout_ms;
	int r = boot_spawn(s, &timeout_ms, err);

	if (r < 0) {
		s->last_error = *err;
		return r;
	}
	s->last_error = (struct err){ 0 };
	r = attach(s, err);
	if (r < 0) {
		(void)boot_kill(s);
		boot_unlink_socket(s);
		return r;
	}
	s->state = SANDBOX_STARTING;
	arm(s, timeout_ms);
	note_used(s);
	return 0;
}

int sandbox_start(struct sandbox *s, sandbox_done *done, void *user, struct err *err)
{
	int r;

	if (s->removing || s->copying)
		return err_set(err, ERR_CONFLICT, EBUSY, "sandbox '%s' is being %s: try again", s->row.name, s->removing ? "removed" : "copied");
	switch (s->state) {
	case SANDBOX_RUNNING:
		return 1;
	case SANDBOX_LOST:
		*err = s->last_error;
		return err_code(err);
	case SANDBOX_STOPPED:
		r = begin(s, err);
		return r < 0 ? r : wait_add(s, &s->starters, done, user, err);
	case SANDBOX_STOPPING:
		r = wait_add(s, &s->starters, done, user, err);
		s->start_again = s->start_again || r == 0;
		return r;
	case SANDBOX_STARTING:
		if (s->silent)
			arm(s, SILENT_MS);
		break;
	}
	return wait_add(s, &s->starters, done, user, err);
}

static void on_answer(void *user, json_t *reply, const struct err *err)
{
	/* A stop: the end of the watch says it, and the deadline where nothing does. A keep: the record has it, and the
	 * next start. */
}

/* Asks the supervisor; where even that fails, the deadline kills it. */
static void ask_stop(struct sandbox *s, uint64_t timeout_ms, bool discard)
{
	json_t *request = json_pack("{s:s, s:I, s:b}", "op", "stop", "timeout_ms",
				    (json_int_t)(timeout_ms ? timeout_ms : 1), "discard", discard);
	struct vmlink_call call = sandbox_call(s, request, timeout_ms + STOP_SLACK_MS);
	struct err err;

	if (vmlink_ask(&call, on_answer, NULL, &err) < 0)
		log_warn("event=stop_not_asked id=%s error=\"%s\"", s->row.id, err.msg);
}

static int stop(struct sandbox *s, uint64_t timeout_ms, bool discard, struct sandbox_wait who, struct err *err)
{
	struct err cancelled;
	int r;

	if (s->state == SANDBOX_STOPPED)
		return 1;
	r = wait_add(s, &s->stoppers, who.done, who.user, err);
	if (r < 0)
		return r;
	if (s->state == SANDBOX_LOST) {
		s->state = SANDBOX_STOPPING;
		s->stop_asked = true;
		s->last_error = (struct err){ 0 };
		(void)boot_kill(s);
		s->settle_step_ms = 1;
		(void)uv_timer_start(&s->timer, on_settle, s->settle_step_ms, 0);
		return 0;
	}
	/* From here on a start waits for the end of this machine. */
	s->state = SANDBOX_STOPPING;
	s->stop_asked = true;
	s->last_error = (struct err){ 0 };
	if (s->starters.n > 0) {
		(void)err_set(&cancelled, ERR_CONFLICT, ECANCELED, "sandbox '%s' was stopped", s->row.name);
		fail_starters(s, &cancelled);
	}
	if (s->watch) {
		ask_stop(s, timeout_ms, discard);
		arm(s, timeout_ms + STOP_SLACK_MS);
	}
	return 0;
}

int sandbox_stop(struct sandbox *s, uint64_t timeout_ms, sandbox_done *done, void *user, struct err *err)
{
	return stop(s, timeout_ms, false, (struct sandbox_wait){ done, user }, err);
}

int sandbox_throw_away(struct sandbox *s, sandbox_done *done, void *user, struct err *err)
{
	return stop(s, SANDBOX_STOP_MS, true, (struct sandbox_wait){ done, user }, err);
}

int sandbox_remove(struct sandbox *s, struct err *err)
{
	struct daemon *d = s->daemon;
	char id[STORE_ID_SIZE];
	int held, r;

	if (s->state != SANDBOX_STOPPED)
		return err_set(err, ERR_CONFLICT, EBUSY, "sandbox '%s' is not stopped", s->row.name);
	memcpy(id, s->row.id, sizeof(id));
	r = disk_retire(&d->disks, id, err);
	if (r < 0)
		return r;
	r = store_remove(d->store, id, err);
	/* A removal is how room is made on a full disk, but the registry needs a little to note it: its disk goes first. */
	if (r == -ENOSPC && disk_remove(&d->disks, id, NULL) == 0) {
		*err = (struct err){ 0 };
		r = store_remove(d->store, id, err);
	}
	if (r < 0) {
		disk_restore(&d->disks, id);
		return r;
	}
	boot_unlink_socket(s);
	log_info("event=removed id=%s name=%s", id, s->row.name);
	sandbox_free(s);
	rules_forget(d);
	template_release(d->dirs.cache, id);
	/* The record is gone: what cannot be removed now is removed at the next start. */
	held = disk_hold(&d->disks, id);
	r = disk_remove(&d->disks, id, err);
	spare_close(d, held);
	return r;
}

int sandbox_keep(struct sandbox *s, bool keep, struct err *err)
{
	struct vmlink_call call;
	int r = store_set_keep(s->daemon->store, s->row.id, keep, err);

	if (r < 0)
		return r;
	s->row.keep = keep;
	if (!s->watch)
		return 0;
	call = sandbox_call(s, json_pack("{s:s, s:b}", "op", "keep", "keep", keep), KEEP_MS);
	return vmlink_ask(&call, on_answer, NULL, err);
}

int sandbox_await_end(struct sandbox *s, sandbox_done *done, void *user, struct err *err)
{
	return s->state == SANDBOX_STOPPED ? 1 : wait_add(s, &s->stoppers, done, user, err);
}

/* --- what it looks like --- */

const char *sandbox_status(const struct sandbox *s)
{
	static const char *const names[] = {
		[SANDBOX_STOPPED] = "stopped",   [SANDBOX_STARTING] = "starting", [SANDBOX_RUNNING] = "running",
		[SANDBOX_STOPPING] = "stopping", [SANDBOX_LOST] = "running",
	};

	return s->state == SANDBOX_STOPPED && s->paused ? "paused" : names[s->state];
}

static json_t *workspaces_json(const struct store_row *row, bool *ret_missing)
{
	json_t *a = json_array();

	*ret_missing = false;
	for (size_t i = 0; a && i < row->nworkspaces; i++) {
		const struct workspace *w = &row->workspaces[i];
		bool missing = !workspace_is_there(w);

		*ret_missing = *ret_missing || missing;
		(void)json_array_append_new(a,
					    json_pack("{s:s, s:b, s:s, s:b}", "path", w->path, "readonly", w->readonly,
						      "type", w->is_file ? "file" : "dir", "missing", missing));
	}
	return a;
}

json_t *sandbox_json(const struct sandbox *s, bool full)
{
	const struct store_row *row = &s->row;
	bool missing;
	json_t *w = workspaces_json(row, &missing);
	json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:b, s:s, s:s?, s:i, s:I, s:b, s:b, s:i, s:s?}", "id",
			      row->id, "name", row->name, "agent", row->agent, "status", sandbox_status(s), "ports",
			      ports_json(row), "workspaces", w, "workspace_missing", missing, "created_at", row->created_at,
			      "last_used_at", row->last_used_at[0] ? row->last_used_at : NULL, "cpus", (int)row->cpus,
			      "memory_mib", (json_int_t)row->memory_mib, "keep", row->keep, "cold", row->cold, "sessions",
			      (int)s->sessions, "accel", s->accel[0] ? s->accel : NULL);
	int r = o ? 0 : -1;

	if (r == 0 && s->last_error.kind != ERR_NONE)
		r = json_object_set_new(o, "error", field_error(&s->last_error));
	if (r == 0 && full)
		r = json_object_set(o, "env", row->env) | json_object_set(o, "template", row->template);
	if (r == 0)
		return o;
	json_decref(o);
	return NULL;
}
