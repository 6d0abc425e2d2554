/* SPDX-License-Identifier: Apache-2.0
 *
 * save: see save.h. Calls to QEMU and the guest carry the machine, not the save: one that comes back after the save is over
 * finds none, or another phase.
 */
#include "vm/save.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "vm/boot.h"
#include "vm/machine.h"
#include "vm/ownpages.h"
#include "vm/resume.h"
#include "vm/savelink.h"

#define QUIET_MS 20000 /* of the guest, whose disk may have much to write */
#define STOP_MS 20000  /* of QEMU, for each answer */
#define WRITE_MS (30 * 60 * 1000)
#define WAKE_MS 20000
#define FILES_MS 10000
#define WAKES 20 /* further tries */
#define WAKE_AGAIN_MS 1000
#define FDSET 9
#define FDSET_FILE "/dev/fdset/9"

DEFINE_AUTO(json, json_t *, json_decref);

enum phase { QUIET, STOPPING, STATE, WRITING, WAKING, SYNCING };

struct save {
	struct machine *machine; /* borrowed */
	enum phase phase;
	char into[4096];
	bool disk, end, sync;
	bool written, synced;
	save_done done; /* NULL: nobody waits any more */
	void *user;
	int dir, state, files; /* owned; -1: none */
	size_t lost;           /* open files that cannot be opened again */
	struct ownpages own;   /* owned */
	struct savelink *link; /* owned */
	uv_timer_t timer;
	json_t *reply; /* owned; what was written */
	struct err err; /* why it failed */
	unsigned wakes;
	uint64_t began_ms, stopped_ms, standing_ms;
};

static void go_on(struct machine *m);
static void awake(struct machine *m);

static void on_timer_closed(uv_handle_t *h)
{
	free(h->data);
}

static void remove_new(const struct save *s)
{
	auto_free char *path = str_new("%s.new", s->into);

	if (path)
		(void)io_remove_tree(AT_FDCWD, path);
}

/* The last thing: tells who asked. */
static void over(struct machine *m)
{
	struct save *s = TAKE_PTR(m->save);
	json_t *reply = TAKE_PTR(s->reply);

	if (s->err.kind)
		log_warn("event=not_saved after_ms=%llu why=\"%s\"", (unsigned long long)(io_now_ms() - s->began_ms), s->err.msg);
	savelink_free(s->link);
	ownpages_done(&s->own);
	own_close_p(&s->dir);
	own_close_p(&s->state);
	own_close_p(&s->files);
	if (s->err.kind)
		remove_new(s);
	if (s->done)
		s->done(s->user, s->err.kind ? NULL : json_incref(reply), s->err.kind ? &s->err : NULL);
	json_decref(reply);
	uv_close((uv_handle_t *)&s->timer, on_timer_closed);
	machine_saved(m);
}

static void failed(struct machine *m, const struct err *err)
{
	struct save *s = m->save;

	if (!s || s->err.kind)
		return;
	s->err = *err;
	if (s->phase == SYNCING)
		over(m);
	else if (s->phase != WAKING)
		go_on(m);
}

static void failed_with(struct machine *m, const char *what, const char *why)
{
	struct err err;

	(void)err_set(&err, ERR_UNAVAILABLE, EIO, "%s: %s", what, why);
	failed(m, &err);
}

static void on_late(uv_timer_t *t)
{
	struct save *s = t->data;
	struct machine *m = s->machine;

	failed_with(m, "the machine could not be saved", "it took too long");
}

static void enter(struct save *s, enum phase phase, uint64_t ms)
{
	s->phase = phase;
	(void)uv_timer_start(&s->timer, on_late, ms, 0);
}

static bool is_in(const struct machine *m, enum phase phase)
{
	return m->save && m->save->phase == phase;
}

/* --- the machine goes on --- */

static void wake(struct machine *m);

static void on_again(uv_timer_t *t)
{
	struct save *s = t->data;

	wake(s->machine);
}

static void on_awake(void *user, const json_t *reply, const struct err *err)
{
	struct machine *m = user;

	if (!is_in(m, WAKING))
		return;
	if (err)
		log_warn("event=not_woken why=\"%s\"", err->msg);
	/* Its own /quiesce may still be under way, which was waited for long enough. */
	if (err && err->kind == ERR_CONFLICT && m->save->wakes++ < WAKES)
		(void)uv_timer_start(&m->save->timer, on_again, WAKE_AGAIN_MS, 0);
	else
		awake(m);
}

static void wake(struct machine *m)
{
	if (!m->door || door_call(m->door, "/wake", resume_wake_request(m, false), WAKE_MS, on_awake, m) < 0)
		awake(m);
}

static void on_continued(void *user, const json_t *result, const char *error)
{
	struct machine *m = user;

	if (!is_in(m, WAKING))
		return;
	if (error)
		log_error("event=not_continued why=\"%s\"", error);
	m->save->standing_ms = io_now_ms() - m->save->stopped_ms;
	if (m->save->reply)
		(void)json_object_set_new(m->save->reply, "standing_ms", json_integer((json_int_t)m->save->standing_ms));
	wake(m);
}

static void go_on(struct machine *m)
{
	struct save *s = m->save;
	bool stopped = s->phase > QUIET;

	s->phase = WAKING;
	(void)uv_timer_stop(&s->timer);
	if (s->err.kind)
		savelink_free(TAKE_PTR(s->link));
	if (!stopped)
		wake(m);
	else if (!m->qmp || qmp_call(m->qmp, "cont", NULL, on_continued, m) < 0)
		awake(m);
}

/* --- writing --- */

/* Under its own name: from here on it counts. */
static int commit(const struct save *s, struct err *err)
{
	auto_free char *from = str_new("%s.new", s->into);

	if (!from)
		return err_errno(err, ENOMEM, "cannot keep what was saved");
	if (rename(from, s->into) < 0)
		return err_errno(err, errno, "cannot keep what was saved as %s", s->into);
	if (io_sync_parent(s->into) < 0)
		log_warn("event=not_synced path=%s", s->into);
	return 0;
}

/* Everything is there. */
static void complete(struct machine *m)
{
	struct save *s = m->save;

	if (commit(s, &s->err) < 0) {
		if (s->end)
			go_on(m);
		else
			over(m);
		return;
	}
	log_info("event=saved ms=%llu stopped_after_ms=%llu standing_ms=%llu end=%d", (unsigned long long)(io_now_ms() - s->began_ms),
		 (unsigned long long)(s->stopped_ms - s->began_ms), (unsigned long long)s->standing_ms, s->end);
	(void)json_object_set_new(s->reply, "ms", json_integer((json_int_t)(io_now_ms() - s->began_ms)));
	if (!s->end) {
		over(m);
		return;
	}
	m->stop_wanted = false;
	m->paused = true;
	over(m);
	machine_paused(m);
}

/* The machine runs again, or what is left of it. */
static void awake(struct machine *m)
{
	struct save *s = m->save;

	if (s->err.kind || !s->written) {
		over(m);
	} else if (s->sync && !s->synced) {
		enter(s, SYNCING, WRITE_MS);
		machine_saved(m); /* for all but who asked */
	} else {
		complete(m);
	}
}

static void on_written(void *user, const json_t *answer, const struct err *err)
{
	struct machine *m = user;
	struct save *s = m->save;
	struct err mine;

	if (!s)
		return;
	if (err) {
		mine = *err;
		(void)err_wrap(&mine, "the machine could not be saved, and goes on");
		failed(m, &mine);
		return;
	}
	s->synced = json_is_true(json_object_get(answer, "synced"));
	if (!s->written)
		s->reply = json_pack("{s:b, s:I, s:O*}", "ok", 1, "lost", (json_int_t)s->lost, "disk", json_object_get(answer, "disk"));
	s->written = true;
	if (s->phase == WRITING && !s->end)
		go_on(m); /* nobody in it has to wait for the host's disk */
	else if (s->phase == SYNCING || (s->phase == WRITING && (s->synced || !s->sync)))
		complete(m);
}

static json_t *about(const struct machine *m)
{
	return json_pack("{s:s, s:s, s:s, s:I, s:b}", "id", m->spec->id, "name", m->spec->name, "release", m->release, "memory_mib", (json_int_t)m->spec->memory_mib,
			 "kvm", m->accel.kvm);
}

static void write_all(struct machine *m)
{
	struct save *s = m->save;
	struct shape shape = boot_shape(m);
	auto_(json) json_t *o = about(m);
	auto_fd int disk = s->disk ? open(m->spec->disk, O_RDONLY | O_CLOEXEC) : -1;
	struct savelink_job job = { .shape = &shape, .sync = s->sync, .dir = s->dir, .about = o, .memory = m->qemu.memory, .state = s->state,
				    .files = s->files, .disk = disk, .pagemap = -1, .mem = -1 };
	struct err err = { 0 };
	int r = 0;

	enter(s, WRITING, WRITE_MS);
	if (!o || (s->disk && disk < 0))
		r = err_errno(&err, o ? errno : ENOMEM, "cannot open the disk %s", m->spec->disk);
	if (r == 0 && m->qemu.shares)
		r = ownpages_open(m->qemu.pid, m->qemu.memory, m->spec->memory_mib << 20, &s->own, &err);
	if (r == 0) {
		job.pagemap = s->own.pagemap;
		job.mem = s->own.mem;
		job.at = s->own.at;
		s->link = savelink_start(m->loop, &job, on_written, m, &err);
	}
	if (!s->link)
		failed(m, &err);
}

/* --- QEMU's state --- */

static void on_removed(void *user, const json_t *result, const char *error)
{
	struct machine *m = user;

	if (is_in(m, STATE))
		write_all(m);
}

static void on_state(void *user, const json_t *result, const char *error)
{
	struct machine *m = user;

	if (!is_in(m, STATE))
		return;
	if (error)
		failed_with(m, "QEMU does not save the state of its devices", error);
	else if (qmp_call(m->qmp, "remove-fd", json_pack("{s:i}", "fdset-id", FDSET), on_removed, m) < 0)
		failed_with(m, "cannot save the machine", "out of memory");
}

static void on_given(void *user, const json_t *result, const char *error)
{
	struct machine *m = user;

	if (!is_in(m, STATE))
		return;
	if (error)
		failed_with(m, "QEMU does not take the state's file", error);
	else if (qmp_call(m->qmp, "xen-save-devices-state", json_pack("{s:s, s:b}", "filename", FDSET_FILE, "live", 0), on_state, m) < 0)
		failed_with(m, "cannot save the machine", "out of memory");
}

/* Everything that QEMU does not have in the guest's memory is in what it writes now. It opens the file for writing only. */
static void on_stopped(void *user, const json_t *result, const char *error)
{
	struct machine *m = user;
	auto_fd int out = -1;
	char path[64];
	int r;

	if (!is_in(m, STOPPING))
		return;
	if (error) {
		failed_with(m, "QEMU does not stop the machine", error);
		return;
	}
	m->save->stopped_ms = io_now_ms();
	enter(m->save, STATE, STOP_MS);
	(void)str_format(path, sizeof(path), "/proc/self/fd/%d", m->save->state);
	out = open(path, O_WRONLY | O_CLOEXEC);
	r = out < 0 ? -errno : qmp_add_fd(m->qmp, out, FDSET, on_given, m);
	if (r < 0)
		failed_with(m, "cannot hand the state's file over", strerror(-r));
}

/* --- the guest --- */

static int save_files(struct machine *m, struct err *err)
{
	struct save *s = m->save;

	if (m->spec->nworkspaces == 0)
		return 0;
	s->files = memfd_create("sbx-files", MFD_CLOEXEC);
	if (s->files < 0)
		return err_errno(err, errno, "cannot make a file in memory");
	return fsdoor_save(&m->fs, s->files, FILES_MS, &s->lost, err);
}

static void on_quiet(void *user, const json_t *reply, const struct err *err)
{
	struct machine *m = user;
	struct err why;

	if (!is_in(m, QUIET))
		return;
	if (err) {
		failed(m, err);
		return;
	}
	if (save_files(m, &why) < 0) {
		failed(m, &why);
		return;
	}
	enter(m->save, STOPPING, STOP_MS);
	if (!m->qmp || qmp_call(m->qmp, "stop", NULL, on_stopped, m) < 0)
		failed_with(m, "cannot stop the machine", "out of memory");
}

static int make_dir(struct save *s, struct err *err)
{
	auto_free char *path = str_new("%s.new", s->into);

	if (!path)
		return err_errno(err, ENOMEM, "cannot save the machine");
	(void)io_remove_tree(AT_FDCWD, path); /* of a save that did not come to its end */
	if (access(s->into, F_OK) == 0)
		return err_set(err, ERR_CONFLICT, EEXIST, "%s is there already", s->into);
	if (mkdir(path, 0700) < 0)
		return err_errno(err, errno, "cannot make %s", path);
	s->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return s->dir < 0 ? err_errno(err, errno, "cannot open %s", path) : 0;
}

int save_begin(struct machine *m, const struct save_want *want, save_done done, void *user, struct err *err)
{
	struct save *s;
	int r = 0;

	if (m->state != MACHINE_RUNNING || !m->door || !m->qmp)
		return err_set(err, ERR_CONFLICT, EAGAIN, "the sandbox is starting or stopping: try again");
	if (m->save)
		return err_set(err, ERR_CONFLICT, EBUSY, "the sandbox is being saved just now: try again");
	if (m->error.kind)
		return err_set(err, ERR_CONFLICT, EIO, "the sandbox cannot be saved as it is: %.300s", m->error.msg);
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_errno(err, ENOMEM, "cannot save the machine");
	*s = (struct save){ .disk = want->disk, .end = want->end, .sync = want->sync, .done = done, .user = user, .machine = m, .dir = -1, .files = -1,
			    .own = { -1, -1, 0 }, .began_ms = io_now_ms() };
	s->state = memfd_create("sbx-state", MFD_CLOEXEC);
	r = s->state < 0 || want->into[0] != '/' || str_format(s->into, sizeof(s->into), "%s", want->into) < 0 ?
		    err_set(err, ERR_INVALID, EINVAL, "cannot save the machine there") :
		    make_dir(s, err);
	(void)uv_timer_init(m->loop, &s->timer);
	s->timer.data = s;
	if (r == 0 && door_call(m->door, "/quiesce", NULL, QUIET_MS, on_quiet, m) < 0)
		r = err_set(err, ERR_UNAVAILABLE, EPIPE, "the guest cannot be reached");
	if (r < 0) {
		own_close_p(&s->state);
		own_close_p(&s->dir);
		uv_close((uv_handle_t *)&s->timer, on_timer_closed);
		return r;
	}
	s->phase = QUIET; /* door_call has the deadline */
	m->save = s;
	return 0;
}

bool save_holds(const struct machine *m)
{
	return m->save && m->save->phase != SYNCING;
}

void save_forget(struct machine *m, const void *user)
{
	if (m->save && m->save->user == user)
		m->save->done = NULL;
}

void save_cancel(struct machine *m)
{
	if (!m->save)
		return;
	if (m->save->err.kind == ERR_NONE)
		(void)err_set(&m->save->err, ERR_CONFLICT, ECANCELED, "the machine ended while it was saved");
	m->save->phase = WAKING;
	m->stop_wanted = false;
	over(m);
}
