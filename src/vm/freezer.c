/* SPDX-License-Identifier: Apache-2.0
 *
 * freezer: see freezer.h. One run of a loop per try:
 *
 *   BOOTING   until the guest opens the network door's port, which it does last
 *   SETTLING  a moment in which the guest's kernel finishes what it does in the background, so that no copy repeats it
 *   SAVING    `migrate` with x-ignore-shared into the state's file; the memory is in its file already
 *   QUITTING  until QEMU is gone, and with it the last mapping that could write
 *
 * The machine goes on when it is thawed because it was running when it was saved.
 */
#include "vm/freezer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <uv.h>

#include "base/log.h"
#include "base/own.h"
#include "base/spawn.h"
#include "base/str.h"
#include "vm/console.h"
#include "vm/qemu.h"
#include "vm/qmp.h"

#define BOOT_MS 60000
#define KVM_BOOT_MS 15000
#define SETTLE_MS 300
#define SAVE_MS 20000
#define END_MS 5000
#define TRIES 2 /* an emulated kernel's first second dies now and then under load */

enum phase { BOOTING, SETTLING, SAVING, QUITTING, OVER };

struct freezer {
	uv_loop_t loop;
	const struct shape *shape; /* borrowed */
	struct frozen made;        /* owned */
	enum phase phase;
	struct qemu qemu;
	struct qmp *qmp;                 /* owned */
	struct console *console, *words; /* owned: the guest's, QEMU's stderr */
	uv_poll_t exit;
	uv_timer_t timer; /* the phase's deadline; in SETTLING its end */
	bool watching;
	struct err err;
};

static void over(struct freezer *f, const char *what, const char *why)
{
	if (f->phase == OVER)
		return;
	if (what)
		(void)err_set(&f->err, ERR_UNAVAILABLE, EIO, "%s: %s", what, why && *why ? why : "without a word");
	f->phase = OVER;
	uv_stop(&f->loop);
}

static void enter(struct freezer *f, enum phase phase, uint64_t ms, uv_timer_cb cb)
{
	f->phase = phase;
	(void)uv_timer_start(&f->timer, cb, ms, 0);
}

static void on_late(uv_timer_t *t)
{
	static const char *const names[] = { "boot", "settle", "save", "end" };
	struct freezer *f = t->data;

	over(f, "the machine to be frozen did not do so in time", names[f->phase]);
}

static void on_step(void *user, const json_t *result, const char *error)
{
	if (error)
		over(user, "QEMU does not freeze the machine", error);
}

static void on_given(void *user, const json_t *result, const char *error)
{
	struct freezer *f = user;

	if (error)
		over(f, "QEMU does not take the state's file", error);
	else if (qmp_call(f->qmp, "migrate", json_pack("{s:s}", "uri", "fd:state"), on_step, f) < 0)
		over(f, "cannot freeze the machine", "out of memory");
}

static void on_settled(uv_timer_t *t)
{
	struct freezer *f = t->data;
	int r;

	enter(f, SAVING, SAVE_MS, on_late);
	r = qmp_give_fd(f->qmp, f->made.state, "state", on_given, f);
	if (r < 0)
		over(f, "cannot hand the state's file over", strerror(-r));
}

static void on_migration(struct freezer *f, const char *status)
{
	if (f->phase != SAVING || !status)
		return;
	if (str_eq(status, "failed"))
		over(f, "QEMU could not save the machine", console_last(f->words));
	if (!str_eq(status, "completed"))
		return;
	enter(f, QUITTING, END_MS, on_late);
	if (qmp_call(f->qmp, "quit", NULL, NULL, NULL) < 0)
		over(f, "cannot end the machine", "out of memory");
}

static void on_event(void *user, const char *name, const json_t *data)
{
	struct freezer *f = user;
	const char *id = json_string_value(json_object_get(data, "id"));

	if (str_eq(name, "MIGRATION"))
		on_migration(f, json_string_value(json_object_get(data, "status")));
	else if (str_eq(name, "VSERPORT_CHANGE") && f->phase == BOOTING && id && str_eq(id, QEMU_NET_PORT) &&
		 json_is_true(json_object_get(data, "open")))
		enter(f, SETTLING, SETTLE_MS, on_settled);
}

static void on_qmp_end(void *user)
{
}

static const struct qmp_ops qmp_ops = { .event = on_event, .end = on_qmp_end };

static void on_exit_seen(uv_poll_t *h, int status, int events)
{
	struct freezer *f = h->data;

	(void)uv_poll_stop(h);
	if (f->phase == QUITTING) {
		over(f, NULL, NULL);
		return;
	}
	console_drain(f->console);
	console_drain(f->words);
	over(f, "the machine to be frozen ended", console_last(f->words)[0] ? console_last(f->words) : console_last(f->console));
}

static json_t *capabilities(void)
{
	return json_pack("{s:[{s:s, s:b}, {s:s, s:b}]}", "capabilities", "capability", "x-ignore-shared", "state", 1, "capability",
			 "events", "state", 1);
}

static int begin(struct freezer *f, struct err *err)
{
	int r = qemu_open(&f->qemu, err);

	if (r < 0)
		return r;
	f->qemu.in[QEMU_IN_MEMORY] = dup(f->made.memory);
	if (f->qemu.in[QEMU_IN_MEMORY] < 0)
		return err_errno(err, errno, "cannot start the machine");
	r = qemu_launch(&f->qemu, f->shape, NULL, QEMU_FREEZE, NULL, err);
	if (r < 0)
		return r;
	f->words = console_to_log(&f->loop, TAKE_FD(f->qemu.stderr_fd), "qemu");
	f->console = console_to_log(&f->loop, TAKE_FD(f->qemu.console_fd), "guest");
	f->qmp = qmp_new(&f->loop, TAKE_FD(f->qemu.qmp_fd), &qmp_ops, f);
	if (!f->words || !f->console || !f->qmp || uv_poll_init(&f->loop, &f->exit, f->qemu.pidfd) < 0)
		return err_errno(err, ENOMEM, "cannot start the machine");
	f->exit.data = f;
	f->watching = true;
	r = uv_poll_start(&f->exit, UV_READABLE, on_exit_seen);
	return r < 0 ? r : qmp_call(f->qmp, "migrate-set-capabilities", capabilities(), on_step, f);
}

static void kill_process(int pidfd)
{
	if (pidfd < 0)
		return;
	(void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0U);
	(void)spawn_wait(pidfd, END_MS, NULL);
}

static void end(struct freezer *f)
{
	kill_process(f->qemu.inner_pidfd);
	kill_process(f->qemu.pidfd);
	qmp_free(f->qmp);
	console_free(f->console);
	console_free(f->words);
	if (f->watching)
		uv_close((uv_handle_t *)&f->exit, NULL);
	uv_close((uv_handle_t *)&f->timer, NULL);
	qemu_done(&f->qemu);
	(void)uv_run(&f->loop, UV_RUN_DEFAULT); /* what was closed lets go of its memory */
	(void)uv_loop_close(&f->loop);
}

static int try_once(const struct shape *s, struct frozen *ret, struct err *err)
{
	struct freezer f = { .shape = s, .made = { -1, -1 } };
	int r = frozen_new(&f.made, s->memory_mib << 20, err);

	if (r < 0)
		return r;
	if (uv_loop_init(&f.loop) < 0) {
		frozen_done(&f.made);
		return err_errno(err, ENOMEM, "cannot make an event loop");
	}
	qemu_init(&f.qemu);
	(void)uv_timer_init(&f.loop, &f.timer);
	f.timer.data = &f;
	r = begin(&f, err);
	if (r == 0) {
		enter(&f, BOOTING, s->kvm ? KVM_BOOT_MS : BOOT_MS, on_late);
		(void)uv_run(&f.loop, UV_RUN_DEFAULT);
		if (f.err.kind != ERR_NONE) {
			*err = f.err;
			r = err_code(err);
		}
	}
	end(&f);
	if (r == 0)
		r = frozen_seal(&f.made, err);
	if (r < 0)
		frozen_done(&f.made);
	else
		*ret = f.made;
	return r;
}

int freezer_make(const struct shape *s, struct frozen *ret, struct err *err)
{
	int r = -EIO;

	for (int i = 0; r < 0 && i < (s->kvm ? 1 : TRIES); i++) {
		r = try_once(s, ret, err);
		if (r < 0)
			log_warn("event=freeze_failed try=%d why=\"%s\"", i + 1, err->msg);
	}
	return r;
}
