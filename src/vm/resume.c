/* SPDX-License-Identifier: Apache-2.0
 *
 * resume: see resume.h. A door that was connected when the machine was saved, and is not now, is one whose host has gone for
 * the guest: its kernel says so, and each door begins anew as after the end of a proxy. The control door's port is closed
 * for a moment meanwhile, which QEMU shows ("frontend-open"); a session that begins before that would reach the old one.
 */
#include "vm/resume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "vm/boot.h"
#include "vm/machine.h"
#include "vm/mounted.h"
#include "vm/savelink.h"

#define LOOK_MS 5        /* between two looks at the control door's port */
#define LOOK_MAX_MS 500  /* then a session is tried in any case */
#define TRY_MS 500       /* for the first word of a session; doubled with each try */
#define TRIES 9
#define WAKE_MS 30000
#define ENTROPY_BYTES 64

enum phase { LOADING, INCOMING, CONTINUING, RETURNING, WAKING, NETWORK };

struct resume {
	struct machine *machine; /* borrowed */
	enum phase phase;
	struct savelink *link; /* owned */
	json_t *about;         /* owned; the manifest */
	int files;             /* owned; the file door's state */
	uv_timer_t timer;
	uint64_t looked_since_ms;
	bool was_closed;
	unsigned tries;
};

static void try_session(struct machine *m);

static bool is_in(const struct machine *m, enum phase phase)
{
	return m->state == MACHINE_STARTING && m->resume && m->resume->phase == phase;
}

static void fail(struct machine *m, const char *what, const char *why)
{
	struct err err;

	(void)err_set(&err, ERR_INTERNAL, 0, "%s: %s", what, why);
	machine_failed(m, &err);
}

json_t *resume_wake_request(const struct machine *m, bool again)
{
	uint8_t entropy[ENTROPY_BYTES];
	char hex[2 * ENTROPY_BYTES + 1];
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (getrandom(entropy, sizeof(entropy), 0) != (ssize_t)sizeof(entropy))
		return NULL;
	str_hex(hex, entropy, sizeof(entropy));
	return json_pack("{s:I, s:s, s:b, s:s, s:s}", "time_ns", (json_int_t)now.tv_sec * 1000000000 + now.tv_nsec, "entropy", hex, "again",
			 again, "hostname", m->spec->hostname, "machine_id", m->spec->machine_id);
}

/* --- it runs --- */

static void runs(struct machine *m)
{
	m->resumed = true;
	times_reached(&m->times, "network");
	times_log(&m->times, NULL);
	resume_free(m);
	machine_started(m);
}

static void on_trusted(void *user, const json_t *reply, const struct err *err)
{
	struct machine *m = user;

	if (!is_in(m, NETWORK))
		return;
	if (err)
		log_warn("event=not_trusted why=\"%s\"", err->msg);
	runs(m);
}

/* A fork has another CA than the sandbox that its memory is of. */
void resume_network(struct machine *m)
{
	const char *had;

	if (!is_in(m, NETWORK))
		return;
	had = json_string_value(json_object_get(m->resume->about, "id"));
	if ((had && str_eq(had, m->spec->id)) || !netdoor_ca(m->net) ||
	    door_call(m->door, "/trust", json_pack("{s:s, s:s*}", "ca", netdoor_ca(m->net), "ca_hash", netdoor_ca_hash(m->net)), WAKE_MS, on_trusted,
		      m) < 0)
		runs(m);
}

static void on_awake(void *user, const json_t *reply, const struct err *err)
{
	struct machine *m = user;
	struct err wrong;

	if (!is_in(m, WAKING))
		return;
	if (err && err->errnum == EPIPE)
		return; /* the session ended: resume_door_ended */
	if (err) {
		machine_failed(m, err);
		return;
	}
	/* No reason to lose what is in the memory: somebody in the guest may have taken the mount away. */
	if (mounted_check(&(struct mounted){ m->fs.nonce, m->fs.ino, m->spec->nworkspaces }, reply, &wrong) < 0) {
		log_error("event=not_mounted why=\"%s\"", wrong.msg);
		m->error = wrong;
	}
	times_reached(&m->times, "awake");
	m->detached = (size_t)json_integer_value(json_object_get(reply, "detached"));
	m->resume->phase = NETWORK;
	m->phase = "network";
	if (boot_network(m, &wrong) < 0)
		machine_failed(m, &wrong);
}

/* --- a session with the guest --- */

static void on_hello(void *user, const json_t *reply, const struct err *err)
{
	struct machine *m = user;

	if (!is_in(m, RETURNING))
		return;
	if (err && err->errnum == EPIPE)
		return;
	if (err) {
		door_free(TAKE_PTR(m->door));
		try_session(m);
		return;
	}
	m->greeted = true;
	times_reached(&m->times, "hello");
	m->resume->phase = WAKING;
	m->phase = "waking up";
	if (door_call(m->door, "/wake", resume_wake_request(m, true), WAKE_MS, on_awake, m) < 0)
		fail(m, "cannot wake the guest", "the control door does not take the request");
}

static void on_try(uv_timer_t *t)
{
	struct resume *r = t->data;

	try_session(r->machine);
}

void resume_door_ended(struct machine *m)
{
	if (!m->resume || m->state != MACHINE_STARTING || m->resume->phase < RETURNING || m->resume->phase == NETWORK)
		return;
	m->resume->phase = RETURNING;
	(void)uv_timer_start(&m->resume->timer, on_try, LOOK_MS, 0);
}

static void try_session(struct machine *m)
{
	struct resume *r = m->resume;
	int fd;

	if (r->tries++ >= TRIES) {
		fail(m, "the guest did not come back", "its control door does not answer");
		return;
	}
	door_free(TAKE_PTR(m->door));
	fd = qemu_connect_ctl(&m->qemu);
	m->door = fd < 0 ? NULL : boot_door(m, fd);
	if (!m->door || door_call(m->door, "/health", NULL, r->tries > 5 ? (uint64_t)TRY_MS << 5 : (uint64_t)TRY_MS << (r->tries - 1), on_hello, m) < 0)
		fail(m, "cannot reach the guest", fd < 0 ? strerror(-fd) : "the control door did not open");
}

static void look(struct machine *m);

static void on_look(uv_timer_t *t)
{
	struct resume *r = t->data;

	look(r->machine);
}

static bool ctl_is_open(const json_t *list)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one) {
		const char *label = json_string_value(json_object_get(one, "label"));

		if (label && str_eq(label, QEMU_CTL_CHARDEV))
			return json_is_true(json_object_get(one, "frontend-open"));
	}
	return true;
}

static void on_chardevs(void *user, const json_t *result, const char *error)
{
	struct machine *m = user;
	struct resume *r = m->resume;

	if (!is_in(m, RETURNING) || r->tries > 0)
		return;
	r->was_closed = r->was_closed || (!error && !ctl_is_open(result));
	if (r->was_closed || io_now_ms() - r->looked_since_ms > LOOK_MAX_MS) {
		times_reached(&m->times, "returned");
		try_session(m);
	} else {
		(void)uv_timer_start(&r->timer, on_look, LOOK_MS, 0);
	}
}

static void look(struct machine *m)
{
	if (qmp_call(m->qmp, "query-chardev", NULL, on_chardevs, m) < 0)
		fail(m, "cannot see the control door", "out of memory");
}

/* --- QEMU --- */

static void on_continued(void *user, const json_t *result, const char *error)
{
	struct machine *m = user;

	if (!is_in(m, CONTINUING))
		return;
	if (error) {
		fail(m, "QEMU does not go on", error);
		return;
	}
	times_reached(&m->times, "continued");
	m->resume->phase = RETURNING;
	m->phase = "the guest's return";
	m->resume->looked_since_ms = io_now_ms();
	look(m);
}

/* The disk changes from here on: the memory must never be used again. That has to be on the host's disk before the guest can
 * have anything there: what it overwrites in place needs no commit of the host's journal, which a loss of power would undo. */
static int use_up(struct machine *m, struct err *err)
{
	auto_free char *old = str_new("%s.old", m->spec->saved);
	int r;

	if (!old)
		return err_errno(err, ENOMEM, "the saved memory");
	(void)io_remove_tree(AT_FDCWD, old);
	if (rename(m->spec->saved, old) < 0)
		return err_errno(err, errno, "cannot take %s away", m->spec->saved);
	r = io_sync_parent(m->spec->saved);
	if (r == 0)
		return 0;
	(void)rename(old, m->spec->saved);
	return err_errno(err, -r, "cannot take %s away for good", m->spec->saved);
}

void resume_loaded(struct machine *m)
{
	struct err err;

	if (!is_in(m, INCOMING))
		return;
	m->resume->phase = CONTINUING;
	m->phase = "processors";
	if (use_up(m, &err) < 0)
		machine_failed(m, &err);
	else if (qmp_call(m->qmp, "cont", NULL, on_continued, m) < 0)
		fail(m, "cannot go on", "out of memory");
}

/* --- the saved files --- */

/* The memory is there, and QEMU. */
static void on_read(void *user, const json_t *answer, const struct err *err)
{
	struct machine *m = user;
	struct resume *r = m->resume;
	struct err mine;

	savelink_free(TAKE_PTR(r->link));
	if (err) {
		(void)err_set(&mine, err->kind, err->errnum,
			      "sandbox '%s' cannot be resumed: %.250s: `sbx stop %s` drops its memory, after which it starts from its disk",
			      m->spec->name, err->msg, m->spec->name);
		machine_failed(m, &mine);
		return;
	}
	times_reached(&m->times, "read");
	if (json_is_string(json_object_get(json_object_get(answer, "about"), "release")))
		(void)str_format(m->release, sizeof(m->release), "%s", json_string_value(json_object_get(json_object_get(answer, "about"), "release")));
	r->about = json_deep_copy(json_object_get(answer, "about"));
	r->phase = INCOMING;
	m->phase = "devices";
	if (boot_files(m, r->files, &mine) < 0)
		machine_failed(m, &mine);
	else if (boot_incoming(m, m->state_number) < 0)
		fail(m, "cannot load the saved machine", "out of memory");
}

/* QEMU looks at neither memory nor state before it is told to, so that it starts while they are read. */
static int make_files(struct machine *m, struct err *err)
{
	auto_fd int memory = memfd_create("sbx-memory", MFD_CLOEXEC), state = memfd_create("sbx-state", MFD_CLOEXEC);

	m->resume->files = memfd_create("sbx-files", MFD_CLOEXEC);
	if (memory < 0 || state < 0 || m->resume->files < 0 || ftruncate(memory, (off_t)(m->spec->memory_mib << 20)) < 0)
		return err_errno(err, errno, "cannot make the machine's memory");
	m->qemu.in[QEMU_IN_MEMORY] = TAKE_FD(memory);
	m->qemu.in[QEMU_IN_STATE] = TAKE_FD(state);
	return 0;
}

static int begin(struct machine *m, struct err *err)
{
	struct shape shape = boot_shape(m);
	auto_fd int dir = open(m->spec->saved, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct savelink_job job = { .shape = &shape, .dir = dir, .disk = -1, .pagemap = -1, .mem = -1 };
	int r = dir < 0 ? -errno : 0;

	if (r < 0)
		return err_errno(err, -r, "cannot open the saved memory %s", m->spec->saved);
	r = qemu_open(&m->qemu, err);
	if (r == 0)
		r = qemu_open_sandbox(&m->qemu, m->spec, err);
	if (r == 0)
		r = make_files(m, err);
	if (r < 0)
		return r;
	job.memory = m->qemu.in[QEMU_IN_MEMORY];
	job.state = m->qemu.in[QEMU_IN_STATE];
	job.files = m->resume->files;
	m->resume->link = savelink_start(m->loop, &job, on_read, m, err);
	return m->resume->link ? boot_launch(m, QEMU_RESUME, err) : err_code(err);
}

void resume_begin(struct machine *m)
{
	struct resume *r = calloc(1, sizeof(*r));
	struct err err = { 0 };

	if (!r) {
		fail(m, "cannot resume the machine", "out of memory");
		return;
	}
	*r = (struct resume){ .machine = m, .files = -1 };
	(void)uv_timer_init(m->loop, &r->timer);
	r->timer.data = r;
	m->resume = r;
	m->phase = "saved memory";
	times_begin(&m->times);
	if (begin(m, &err) < 0)
		machine_failed(m, &err);
}

static void on_timer_closed(uv_handle_t *h)
{
	free(h->data);
}

static void remove_used(const struct machine *m)
{
	auto_free char *old = str_new("%s.old", m->spec->saved);

	if (old)
		(void)io_remove_tree(AT_FDCWD, old);
}

void resume_free(struct machine *m)
{
	struct resume *r = TAKE_PTR(m->resume);

	if (!r)
		return;
	if (r->phase > CONTINUING)
		remove_used(m);
	savelink_free(r->link);
	json_decref(r->about);
	own_close_p(&r->files);
	uv_close((uv_handle_t *)&r->timer, on_timer_closed);
}
