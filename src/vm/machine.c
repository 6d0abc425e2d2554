/* SPDX-License-Identifier: Apache-2.0
 *
 * machine: see machine.h.
 */
#include "vm/machine.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/spawn.h"
#include "base/str.h"
#include "vm/boot.h"
#include "vm/client.h"
#include "vm/resume.h"
#include "vm/save.h"

/* How long clients may take to read what they were last sent. */
#define DRAIN_MS 2000
/* How long after the file door a machine that ends may last. */
#define ENDS_TOGETHER_MS 1000
/* Of a stop's time, what is left for QEMU once the guest has had its share. */
#define QUIT_MS 2000
/* Until a machine that is being saved is asked again whether it is used. */
#define SAVED_AGAIN_MS 1000
/* How long a stop waits for what was saved to reach the disk. */
#define HELD_MS 5000
/* For the guest to list its sessions. */
#define SESSIONS_MS 5000
/* For the guest to kill its programs and to hand over what they wrote to workspaces. */
#define DISCARD_MS 5000

static const char *const state_names[] = {
	[MACHINE_STARTING] = "starting", [MACHINE_RUNNING] = "running", [MACHINE_STOPPING] = "stopping",
	[MACHINE_STOPPED] = "stopped",   [MACHINE_FAILED] = "failed",
};

json_t *machine_describe(const struct machine *m)
{
	json_t *o = json_pack("{s:s, s:i, s:s, s:s, s:b, s:i, s:i, s:{s:i, s:i, s:i, s:i}}", "state", state_names[m->state], "sessions",
			      (int)m->sessions, "accel", m->accel.kvm ? "kvm" : "tcg", "accel_reason", m->accel.reason,
			      "keep", m->keep, "asks", (int)netdoor_asks(m->net), "opens", (int)opens_count(m->opens), "pids", "vm", getpid(), "qemu",
			      (int)m->qemu.pid, "fs", (int)m->fs.pid, "proxy", (int)netdoor_pid(m->net));
	const char *problem = netdoor_problem(m->net);
	json_t *ports = ports_describe(m->ports);

	if (!o || !ports) {
		json_decref(o);
		json_decref(ports);
		return NULL;
	}
	(void)json_object_set_new(o, "ports", ports);
	if (m->paused)
		(void)json_object_set_new(o, "paused", json_true());
	if (m->resumed)
		(void)json_object_set_new(o, "resumed", json_true());
	if (m->state == MACHINE_STARTING && m->phase)
		(void)json_object_set_new(o, "phase", json_string(m->phase));
	if (m->release[0])
		(void)json_object_set_new(o, "guest_release", json_string(m->release));
	if (m->started_at[0])
		(void)json_object_set_new(o, "started_at", json_string(m->started_at));
	if (m->error.kind)
		(void)json_object_set_new(o, "error",
					  json_pack("{s:s, s:s}", "kind", err_kind_name(m->error.kind), "message",
						    m->error.msg));
	else if (problem && m->state == MACHINE_RUNNING)
		(void)json_object_set_new(o, "error", json_pack("{s:s, s:s}", "kind", err_kind_name(ERR_UNAVAILABLE), "message", problem));
	return o;
}

static void set_state(struct machine *m, enum machine_state state)
{
	log_info("event=state from=%s to=%s%s%s", state_names[m->state], state_names[state],
		 m->error.kind ? " error=" : "", m->error.kind ? m->error.msg : "");
	m->state = state;
	client_notify_all(m);
}

/* --- the end --- */

static void on_drained(uv_timer_t *t)
{
	struct machine *m = t->data;

	client_close_all(m);
	uv_stop(m->loop);
}

static void kill_process(int pidfd)
{
	if (pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0U);
}

static void poll_closed(uv_handle_t *h)
{
	free(h);
}

static void unwatch(uv_poll_t **p)
{
	if (*p)
		uv_close((uv_handle_t *)*p, poll_closed);
	*p = NULL;
}

void machine_discard(struct machine *m)
{
	(void)uv_timer_stop(&m->helpers_timer);
	unwatch(&m->qemu_exit);
	unwatch(&m->fs_exit);
	kill_process(m->qemu.inner_pidfd);
	kill_process(m->qemu.pidfd);
	kill_process(m->fs.pidfd);
	if (m->qemu.inner_pidfd >= 0)
		(void)spawn_wait(m->qemu.inner_pidfd, 5000, NULL); /* no child of ours: only the wait counts */
	if (m->qemu.pidfd >= 0)
		(void)spawn_wait(m->qemu.pidfd, 5000, NULL);
	if (m->fs.pidfd >= 0)
		(void)spawn_wait(m->fs.pidfd, 5000, NULL);
	resume_free(m);
	frozenlink_free(TAKE_PTR(m->frozen));
	netdoor_free(TAKE_PTR(m->net));
	qmp_free(TAKE_PTR(m->qmp));
	door_free(TAKE_PTR(m->door));
	console_free(TAKE_PTR(m->console));
	console_free(TAKE_PTR(m->qemu_err));
	console_free(TAKE_PTR(m->fs_err));
	qemu_done(&m->qemu);
	fsdoor_done(&m->fs);
	m->qemu.pid = m->fs.pid = 0;
	m->greeted = m->thawing = m->warm = m->plugged = m->asked = false;
}

/* STOPPED or FAILED: nothing of the machine is left; clients get their last words. */
static void finish(struct machine *m, enum machine_state state)
{
	if (m->state == MACHINE_STOPPED || m->state == MACHINE_FAILED)
		return;
	save_cancel(m);
	(void)uv_timer_stop(&m->boot_timer);
	(void)uv_timer_stop(&m->grace_timer);
	(void)uv_timer_stop(&m->idle_timer);
	opens_free(TAKE_PTR(m->opens));
	ports_free(TAKE_PTR(m->ports));
	machine_discard(m);
	set_state(m, state);
	client_finish_all(m);
	(void)uv_timer_start(&m->stop_timer, on_drained, m->nclients || !m->met ? DRAIN_MS : 0, 0);
}

void machine_drained(struct machine *m)
{
	if (m->state == MACHINE_STOPPED || m->state == MACHINE_FAILED)
		(void)uv_timer_start(&m->stop_timer, on_drained, 0, 0);
}

void machine_failed(struct machine *m, const struct err *err)
{
	if (m->state != MACHINE_STARTING)
		return;
	m->error = *err;
	finish(m, MACHINE_FAILED);
}

/* --- stopping --- */

static void on_stop_deadline(uv_timer_t *t)
{
	struct machine *m = t->data;

	log_warn("event=stop_forced");
	kill_process(m->qemu.inner_pidfd);
	kill_process(m->qemu.pidfd);
}

static void on_quit_deadline(uv_timer_t *t)
{
	struct machine *m = t->data;

	if (m->qmp)
		(void)qmp_call(m->qmp, "quit", NULL, NULL, NULL);
	(void)uv_timer_start(&m->stop_timer, on_stop_deadline, QUIT_MS, 0);
}

static void on_shutdown_answer(void *user, const json_t *reply, const struct err *err)
{
	if (err)
		log_warn("event=shutdown_call error=\"%s\"", err->msg);
}

/* false: there is nothing to wait for. */
static bool begin_stop(struct machine *m)
{
	if (m->state == MACHINE_STARTING) {
		(void)err_set(&m->error, ERR_CONFLICT, ECANCELED, "the start was cancelled by a stop");
		finish(m, MACHINE_STOPPED);
		return false;
	}
	if (m->state != MACHINE_RUNNING)
		return false;
	(void)uv_timer_stop(&m->grace_timer);
	set_state(m, MACHINE_STOPPING);
	return true;
}

static void shut_down(struct machine *m, uint64_t timeout_ms)
{
	uint64_t guest_ms = timeout_ms > QUIT_MS ? timeout_ms - QUIT_MS : 0;

	if (!begin_stop(m))
		return;
	if (!m->door || door_call(m->door, "/shutdown", NULL, guest_ms + 1, on_shutdown_answer, m) < 0)
		guest_ms = 0;
	(void)uv_timer_start(&m->stop_timer, on_quit_deadline, guest_ms, 0);
}

/* What is not on the disk by now is given up with the machine, unless it gets there first. */
static void on_held(uv_timer_t *t)
{
	struct machine *m = t->data;

	shut_down(m, m->stop_wanted_ms);
}

void machine_stop(struct machine *m, uint64_t timeout_ms)
{
	if (!m->save) {
		shut_down(m, timeout_ms);
		return;
	}
	m->stop_wanted = true;
	m->stop_wanted_ms = timeout_ms;
	/* The guest runs and has something to lose: sandboxd kills what does not stop in time. */
	if (!save_holds(m))
		(void)uv_timer_start(&m->stop_timer, on_held, HELD_MS, 0);
}

static void on_saved(void *user, const json_t *reply, const struct err *err)
{
	struct machine *m = user;

	if (err)
		log_warn("event=discard_call error=\"%s\"", err->msg);
	kill_process(m->qemu.inner_pidfd);
	kill_process(m->qemu.pidfd);
}

void machine_throw_away(struct machine *m)
{
	bool asked;

	save_cancel(m);
	if (!begin_stop(m))
		return;
	asked = m->door && door_call(m->door, "/discard", NULL, DISCARD_MS, on_saved, m) == 0;
	(void)uv_timer_start(&m->stop_timer, on_stop_deadline, asked ? DISCARD_MS + QUIT_MS : 0, 0);
}

void machine_saved(struct machine *m)
{
	if (m->stop_wanted && m->state == MACHINE_RUNNING)
		machine_stop(m, m->stop_wanted_ms);
	else if (m->state == MACHINE_RUNNING && !m->paused)
		client_saved(m);
}

void machine_paused(struct machine *m)
{
	if (m->state != MACHINE_RUNNING)
		return;
	finish(m, MACHINE_STOPPED);
}

/* --- running --- */

static void on_grace(uv_timer_t *t);
static void on_idle(uv_timer_t *t);

/* Nobody tells when a process of a session without a client ends: it is looked for once per grace period. */
static void on_sessions(void *user, const json_t *reply, const struct err *err)
{
	struct machine *m = user;
	const json_t *one;
	size_t i, n = 0;

	json_array_foreach(json_object_get(reply, "sessions"), i, one)
		n += json_is_false(json_object_get(one, "attached")) && json_is_false(json_object_get(one, "ended"));
	m->detached = n;
	if (m->state == MACHINE_RUNNING && m->sessions == 0 && !m->keep)
		(void)uv_timer_start(&m->grace_timer, on_grace, n > 0 ? m->spec->grace_ms : 0, 0);
}

static void on_grace(uv_timer_t *t)
{
	struct machine *m = t->data;

	/* Somebody saves it, and others may wait for that to be over. */
	if (m->save) {
		(void)uv_timer_start(&m->grace_timer, on_grace, SAVED_AGAIN_MS, 0);
		return;
	}
	if (m->sessions == 0 && !m->keep && m->detached > 0 &&
	    door_call(m->door, "/sessions", NULL, SESSIONS_MS, on_sessions, m) == 0)
		return;
	if (m->sessions == 0 && !m->keep) {
		log_info("event=idle_stop");
		machine_stop(m, m->stop_timeout_ms);
	}
}

static void rest(struct machine *m)
{
	if (m->keep && m->sessions == 0 && m->spec->auto_pause_ms > 0 && m->state == MACHINE_RUNNING)
		(void)uv_timer_start(&m->idle_timer, on_idle, m->spec->auto_pause_ms, 0);
	else
		(void)uv_timer_stop(&m->idle_timer);
}

static void on_rested(void *user, json_t *reply, const struct err *err)
{
	json_decref(reply);
	if (err)
		rest(user); /* it is in the log, and tried again */
}

/* Nobody has used it for as long as the setting says; a connection that came through a published port is somebody. */
static void on_idle(uv_timer_t *t)
{
	struct machine *m = t->data;
	auto_free char *into = str_new("%s/saved", m->spec->state_dir);
	struct save_want want = { .into = into ? into : "", .end = true, .sync = true };
	struct err err;

	if (m->sessions > 0 || !m->keep)
		return;
	if (ports_connections(m->ports) > 0 || m->save || save_begin(m, &want, on_rested, m, &err) < 0)
		rest(m);
	else
		log_info("event=idle_pause");
}

void machine_sessions(struct machine *m, int change)
{
	m->sessions = (size_t)((long)m->sessions + change);
	rest(m);
	if (m->sessions > 0 || m->keep || m->state != MACHINE_RUNNING)
		(void)uv_timer_stop(&m->grace_timer);
	else
		(void)uv_timer_start(&m->grace_timer, on_grace, m->spec->grace_ms, 0);
	client_notify_all(m);
}

static bool on_offer(void *user, json_t *event)
{
	return client_offer(user, event);
}

static const struct opens_ops opens_ops = { .offer = on_offer };

void machine_started(struct machine *m)
{
	struct tm tm;
	time_t now = time(NULL);

	(void)uv_timer_stop(&m->boot_timer);
	if (gmtime_r(&now, &tm))
		(void)strftime(m->started_at, sizeof(m->started_at), "%Y-%m-%dT%H:%M:%SZ", &tm);
	m->phase = NULL;
	ports_open(m->ports, m->door);
	m->opens = opens_new(m->loop, m->door, m->ports, m->spec->name, &opens_ops, m);
	set_state(m, MACHINE_RUNNING);
	machine_sessions(m, 0);
}

static void on_boot_deadline(uv_timer_t *t)
{
	struct machine *m = t->data;
	struct err err;

	(void)err_set(&err, ERR_TIMEOUT, 0,
		      "the machine did not start within %llu s (waiting for: %s): see %s/console.log, or raise daemon.bootTimeout",
		      (unsigned long long)(m->spec->boot_timeout_ms / 1000), m->phase, m->spec->state_dir);
	machine_failed(m, &err);
}

static void on_qemu_exit(uv_poll_t *h, int status, int events)
{
	struct machine *m = h->data;
	int code = 0;

	(void)uv_poll_stop(h);
	(void)spawn_wait(m->qemu.pidfd, 1000, &code);
	own_close_p(&m->qemu.pidfd);
	log_info("event=machine_ended status=0x%x", (unsigned)code);
	if (m->state == MACHINE_STARTING)
		boot_machine_ended(m);
	else
		finish(m, MACHINE_STOPPED);
}

/* Its door ends with the machine, whose own end says more. */
static bool machine_has_ended(const struct machine *m)
{
	struct pollfd p = { .fd = m->qemu.pidfd, .events = POLLIN };

	return m->qemu.pidfd >= 0 && poll(&p, 1, ENDS_TOGETHER_MS) == 1;
}

/* Without its file server the guest gets errors on its workspaces, but lives: what it holds can still be saved. */
static void on_fs_exit(uv_poll_t *h, int status, int events)
{
	struct machine *m = h->data;
	struct err err;
	int code = 0;

	(void)uv_poll_stop(h);
	(void)spawn_wait(m->fs.pidfd, 1000, &code);
	own_close_p(&m->fs.pidfd);
	m->fs.pid = 0;
	console_drain(m->fs_err);
	if ((m->state != MACHINE_STARTING && m->state != MACHINE_RUNNING) || (code == 0 && machine_has_ended(m)))
		return;
	(void)err_set(&err, ERR_INTERNAL, 0,
		      "the file server ended (status 0x%x, %.200s): workspaces give errors until the sandbox is stopped and run again",
		      (unsigned)code, console_last(m->fs_err));
	log_error("event=fs_ended %s", err.msg);
	if (m->state == MACHINE_STARTING) {
		machine_failed(m, &err);
	} else {
		m->error = err;
		client_notify_all(m);
	}
}

static int watch_one(struct machine *m, uv_poll_t **ret, int pidfd, uv_poll_cb cb)
{
	uv_poll_t *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->data = m;
	if (uv_poll_init(m->loop, p, pidfd) < 0) {
		free(p);
		return -EIO;
	}
	*ret = p;
	return uv_poll_start(p, UV_READABLE, cb);
}

int machine_watch_fs(struct machine *m)
{
	return m->fs.pidfd >= 0 ? watch_one(m, &m->fs_exit, m->fs.pidfd, on_fs_exit) : 0;
}

int machine_watch_qemu(struct machine *m)
{
	return watch_one(m, &m->qemu_exit, m->qemu.pidfd, on_qemu_exit);
}

static void on_term(uv_signal_t *s, int signum)
{
	struct machine *m = s->data;

	machine_stop(m, m->stop_timeout_ms);
}

static void on_begin(uv_timer_t *t)
{
	struct machine *m = t->data;

	(void)uv_timer_start(&m->boot_timer, on_boot_deadline, m->spec->boot_timeout_ms, 0);
	boot_begin(m);
}

int machine_run(uv_loop_t *loop, const struct spec *spec, int listen_fd)
{
	struct machine m = { .loop = loop, .spec = spec, .keep = spec->keep, .stop_timeout_ms = 12000, .phase = "helpers", .cold = spec->cold,
			     .listen_fd = listen_fd };
	uv_signal_t term;
	int r;

	qemu_init(&m.qemu);
	m.fs.pidfd = m.fs.stderr_fd = m.fs.control_fd = -1;
	(void)uv_timer_init(loop, &m.boot_timer);
	(void)uv_timer_init(loop, &m.grace_timer);
	(void)uv_timer_init(loop, &m.idle_timer);
	(void)uv_timer_init(loop, &m.stop_timer);
	(void)uv_timer_init(loop, &m.helpers_timer);
	(void)uv_signal_init(loop, &term);
	m.boot_timer.data = m.grace_timer.data = m.idle_timer.data = m.stop_timer.data = m.helpers_timer.data = term.data = &m;
	r = uv_signal_start(&term, on_term, SIGTERM);
	if (r == 0)
		r = client_listen(&m);
	if (r < 0) {
		log_error("event=listen_failed error=%s", uv_strerror(r));
		return r;
	}
	/* The boot starts from the loop, so that a watcher who is there already sees its first state. */
	(void)uv_timer_start(&m.boot_timer, on_begin, 0, 0);
	(void)uv_run(loop, UV_RUN_DEFAULT);
	return m.state == MACHINE_FAILED ? -EIO : 0;
}
