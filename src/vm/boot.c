/* SPDX-License-Identifier: Apache-2.0
 *
 * boot: see boot.h. A guest does nothing with the sandbox's disk before /setup, which one that boots is sent once it has
 * answered: that makes the try on KVM safe. A woken one has answered before, when it was frozen: it gets its further layers
 * and /setup at once. Where it does not answer all the same it is killed, and the next one finds a disk that was mounted at
 * most: no program has run.
 */
#include "vm/boot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "vm/client.h"
#include "vm/mounted.h"
#include "vm/resume.h"
#include "vm/tsc.h"
#include "wire/oauthbody.h"

#define KVM_HELLO_MS 15000
#define THAW_HELLO_MS 20000 /* past it the machine boots */
#define HELPERS_MS 20 /* a frozen machine that is there comes sooner */
#define ENTROPY_BYTES 64
#define SIGNED_IN_FILE_MAX (128 << 10)

static void fail(struct machine *m, enum err_kind kind, const char *what, const char *why)
{
	struct err err;

	(void)err_set(&err, kind, 0, "%s: %s", what, why && *why ? why : "no reason was given");
	machine_failed(m, &err);
}

/* The door closed because QEMU ends: its exit tells more, and comes next (the boot's deadline bounds the wait). */
static bool machine_is_ending(const struct err *err)
{
	return err && err->errnum == EPIPE;
}

/* --- the guest is up: give it what is the sandbox's own --- */

static void on_setup(void *user, const json_t *reply, const struct err *err)
{
	struct machine *m = user;
	const char *release = json_string_value(json_object_get(reply, "release"));
	struct err wrong = { 0 };

	if (m->state != MACHINE_STARTING || machine_is_ending(err))
		return;
	if (err) {
		machine_failed(m, err);
		return;
	}
	if (mounted_check(&(struct mounted){ m->fs.nonce, m->fs.ino, m->spec->nworkspaces }, reply, &wrong) < 0) {
		machine_failed(m, &wrong);
		return;
	}
	times_reached(&m->times, "setup");
	times_log(&m->times, json_object_get(reply, "times"));
	str_escape(m->release, sizeof(m->release), release ? release : "", release ? strlen(release) : 0);
	machine_started(m);
}

static int take(const json_t *from, const char *key, char *dst, size_t size)
{
	const char *s = json_string_value(json_object_get(from, key));

	return str_format(dst, size, "%s", s ? s : "");
}

/* A file for a sandbox that is signed in: what the guest has of the tokens comes into it. given: as keeperlink.h says. NULL: it cannot be. */
static json_t *file_for(const json_t *file, const json_t *given)
{
	auto_free struct oauthmsg_given *g = calloc(1, sizeof(*g));
	json_t *copy = NULL;
	struct buf out;

	buf_init(&out, SIGNED_IN_FILE_MAX);
	if (g && take(given, "access", g->access, sizeof(g->access)) >= 0 && take(given, "refresh", g->refresh, sizeof(g->refresh)) >= 0 &&
	    take(given, "id", g->id, sizeof(g->id)) >= 0 && oauthbody_expand(json_string_value(json_object_get(file, "content")), g, &out) == 0 &&
	    (copy = json_copy((json_t *)file)))
		(void)json_object_set_new(copy, "content", json_stringn((const char *)buf_bytes(&out), buf_len(&out)));
	buf_done(&out);
	return copy;
}

/* The agent's files: those that are for a sandbox that is signed in are left out where it is not. NULL: there are none. */
static json_t *files_for(const struct machine *m)
{
	json_t *files = m->spec->files ? json_array() : NULL, *one;
	size_t i;

	json_array_foreach(m->spec->files, i, one) {
		const char *signin = json_string_value(json_object_get(one, "oauth"));
		const json_t *given = signin ? json_object_get(netdoor_signed_in(m->net), signin) : NULL;
		json_t *file = !signin ? json_copy(one) : given ? file_for(one, given) : NULL;

		(void)json_object_del(file, "oauth");
		if (file)
			(void)json_array_append_new(files, file);
	}
	return files;
}

static json_t *setup_request(const struct machine *m)
{
	const struct spec *s = m->spec;
	json_t *layers = json_array(), *workspaces = json_array(), *files = files_for(m), *o;
	uint8_t entropy[ENTROPY_BYTES];
	char hex[2 * ENTROPY_BYTES + 1];
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (getrandom(entropy, sizeof(entropy), 0) != (ssize_t)sizeof(entropy))
		return NULL;
	str_hex(hex, entropy, sizeof(entropy));
	for (size_t i = 0; i < s->nlayers; i++)
		(void)json_array_append_new(layers, json_integer(QEMU_LAYER_TARGET(i)));
	for (size_t i = 0; i < s->nworkspaces; i++)
		(void)json_array_append_new(workspaces,
					    json_pack("{s:i, s:s, s:b, s:s}", "index", (int)i, "path",
						      s->workspaces[i].path, "readonly", s->workspaces[i].readonly,
						      "type", s->workspaces[i].is_file ? "file" : "dir"));
	o = json_pack("{s:s, s:I, s:s, s:s, s:o, s:i, s:o, s:O, s:b, s:b, s:s*, s:s*, s:O*}", "hostname", s->hostname, "time_ns",
		      (json_int_t)now.tv_sec * 1000000000 + now.tv_nsec, "entropy", hex, "machine_id", s->machine_id,
		      "layers", layers, "disk", (int)QEMU_DISK_TARGET, "workspaces", workspaces, "env", s->env, "fs",
		      s->nworkspaces > 0, "network", 1, "ca", netdoor_ca(m->net), "ca_hash",
		      netdoor_ca_hash(m->net), "files", files);
	json_decref(files);
	return o;
}

static void not_thawed(struct machine *m, const char *why);

static void on_disk(void *user, const json_t *result, const char *error)
{
	struct machine *m = user;

	if (!error || m->state != MACHINE_STARTING || str_eq(error, QMP_ENDED))
		return;
	if (m->thawing)
		not_thawed(m, error);
	else
		fail(m, ERR_INTERNAL, "QEMU refused a disk", error);
}

/* A layer above the base: what else there is, the command line has (qemuargs.c). */
static int attach_layer(struct machine *m, unsigned target)
{
	char node[16], file[32], dev[16];
	json_t *block, *device;

	(void)str_format(node, sizeof(node), "disk%u", target);
	(void)str_format(dev, sizeof(dev), "scsi%u", target);
	(void)str_format(file, sizeof(file), "/layer/%u", target - QEMU_LAYER_TARGET(0));
	block = json_pack("{s:s, s:s, s:b, s:{s:s, s:s, s:s}}", "driver", "raw", "node-name", node, "read-only", 1,
			  "file", "driver", "file", "filename", file, "locking", "off");
	device = json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:s}", "driver", "scsi-hd", "id", dev, "drive", node, "bus",
			   "scsi.0", "scsi-id", (int)target, "werror", "report", "rerror", "report");
	if (!block || !device || qmp_call(m->qmp, "blockdev-add", block, on_disk, m) < 0) {
		json_decref(device);
		return -ENOMEM;
	}
	return qmp_call(m->qmp, "device_add", device, on_disk, m);
}

static void attempt(struct machine *m);

/* The guest has said nothing yet and nothing of the sandbox was run: its disk may have been mounted, nothing more. */
static void not_thawed(struct machine *m, const char *why)
{
	log_warn("event=not_thawed why=\"%s\" the machine boots instead", why);
	machine_discard(m);
	m->cold = true;
	attempt(m);
}

/* Nothing runs in the guest before the network door decides by the sandbox's policy. A thawed guest is told while its first answer is
 * still on its way: it takes one request after the other. */
static void set_up(struct machine *m)
{
	if (m->state != MACHINE_STARTING || m->asked || !(m->greeted || (m->thawing && m->plugged)))
		return;
	m->phase = "network";
	if (!netdoor_is_ready(m->net))
		return;
	m->phase = "root";
	m->asked = true;
	times_reached(&m->times, "network");
	if (door_call(m->door, "/setup", setup_request(m), m->spec->boot_timeout_ms, on_setup, m) < 0)
		fail(m, ERR_INTERNAL, "cannot set the guest up", "the control door does not take the request");
}

static void attach_layers(struct machine *m)
{
	int r = 0;

	if (m->plugged)
		return;
	m->plugged = true;
	for (size_t i = 1; r == 0 && i < m->spec->nlayers; i++)
		r = attach_layer(m, QEMU_LAYER_TARGET(i));
	if (r < 0)
		fail(m, ERR_INTERNAL, "cannot give the machine its disks", strerror(-r));
}

static void on_hello(void *user, const json_t *reply, const struct err *err)
{
	struct machine *m = user;

	if (m->state != MACHINE_STARTING || machine_is_ending(err))
		return;
	if (err) {
		if (m->thawing)
			not_thawed(m, err->msg);
		else if (m->accel.kvm && m->accel.fallback)
			boot_machine_ended(m);
		else
			machine_failed(m, err);
		return;
	}
	m->greeted = true;
	times_reached(&m->times, "hello");
	m->warm = m->thawing;
	m->thawing = false;
	attach_layers(m); /* the end of the migration is on another socket, and may be read only after this */
	set_up(m);
}

/* --- processes --- */

/* The guest goes on from here; the disks come while it wakes. A failure ends QEMU, which says why. */
static void on_migration(struct machine *m, const char *status)
{
	if (m->state != MACHINE_STARTING || !status || !str_eq(status, "completed"))
		return;
	times_reached(&m->times, "loaded");
	if (m->resume) {
		resume_loaded(m);
	} else if (m->thawing) {
		attach_layers(m);
		set_up(m);
	}
}

static void on_qmp_event(void *user, const char *name, const json_t *data)
{
	struct machine *m = user;
	const char *reason = json_string_value(json_object_get(data, "reason")), *id = json_string_value(json_object_get(data, "id"));

	if (str_eq(name, "VSERPORT_CHANGE")) {
		/* As often as the guest likes: not for the log. */
		if (id && str_eq(id, QEMU_NET_PORT))
			netdoor_guest_port(m->net, json_is_true(json_object_get(data, "open")));
		return;
	}
	if (str_eq(name, "MIGRATION")) {
		on_migration(m, json_string_value(json_object_get(data, "status")));
		return;
	}
	log_info("event=qmp name=%.40s reason=%.40s", name, reason ? reason : "-");
}

static void on_qmp_end(void *user)
{
}

static void on_door_end(void *user, int error)
{
	log_info("event=door_end error=%d", error);
	resume_door_ended(user);
}

static void on_net_ready(void *user)
{
	struct machine *m = user;

	if (m->resume)
		resume_network(m);
	else
		set_up(m);
}

static void on_net_failed(void *user, const struct err *err)
{
	machine_failed(user, err);
}

static void on_net_policy(void *user, uint64_t turn, int64_t generation, const struct err *err)
{
	client_policy(user, turn, generation, err);
}

static void on_net_changed(void *user)
{
	client_notify_all(user);
}

static const struct netdoor_ops net_ops = {
	.ready = on_net_ready, .failed = on_net_failed, .policy = on_net_policy, .changed = on_net_changed,
};
static const struct qmp_ops qmp_ops = { .event = on_qmp_event, .end = on_qmp_end };
static const struct door_ops door_ops = { .end = on_door_end };

int boot_files(struct machine *m, int state, struct err *err)
{
	int r = 0;

	if (m->spec->nworkspaces > 0) {
		r = fsdoor_start(m->spec, m->qemu.fs_fd, state, &m->fs, err);
		if (r == 0)
			m->fs_err = console_to_log(m->loop, TAKE_FD(m->fs.stderr_fd), "sbx-fs");
	}
	if (r < 0)
		return r;
	own_close_p(&m->qemu.fs_fd);
	r = machine_watch_fs(m);
	return r < 0 ? err_errno(err, -r, "cannot watch the file server") : 0;
}

int boot_network(struct machine *m, struct err *err)
{
	m->net = netdoor_new(m->loop, m->spec, TAKE_FD(m->qemu.net_path), &net_ops, m, err);
	return m->net ? 0 : err_code(err);
}

/* What needs the machine's sockets, but not the machine. Once per attempt. */
static int start_helpers(struct machine *m, struct err *err)
{
	int r;

	(void)uv_timer_stop(&m->helpers_timer);
	if (m->net)
		return 0;
	r = boot_files(m, -1, err);
	return r < 0 ? r : boot_network(m, err);
}

static uint64_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

struct door *boot_door(struct machine *m, int fd)
{
	return door_new(m->loop, fd, &door_ops, m);
}

struct shape boot_shape(const struct machine *m)
{
	const struct spec *s = m->spec;
	struct shape shape = { .kernel = s->kernel, .ninitrds = s->ninitrds, .base = s->layers[0], .disk_bytes = size_of(s->disk),
			       .cpus = s->cpus, .memory_mib = s->memory_mib, .kvm = m->accel.kvm, .tsc_khz = tsc_khz(s->cache_dir) };

	memcpy(shape.initrds, s->initrds, sizeof(shape.initrds));
	return shape;
}

static void on_thaw_step(void *user, const json_t *result, const char *error)
{
	struct machine *m = user;

	if (!error || m->state != MACHINE_STARTING || str_eq(error, QMP_ENDED))
		return;
	if (m->thawing)
		not_thawed(m, error);
	else if (m->resume)
		fail(m, ERR_INTERNAL, "QEMU does not load the saved machine", error);
}

int boot_incoming(struct machine *m, int state)
{
	char text[32];
	int r;

	(void)str_format(text, sizeof(text), "fd:%d", state);
	r = qmp_call(m->qmp, "migrate-set-capabilities",
		     json_pack("{s:[{s:s, s:b}, {s:s, s:b}]}", "capabilities", "capability", "x-ignore-shared", "state", 1,
			       "capability", "events", "state", 1),
		     on_thaw_step, m);
	return r < 0 ? r : qmp_call(m->qmp, "migrate-incoming", json_pack("{s:s}", "uri", text), on_thaw_step, m);
}

/* A machine that is resumed has its disks before its state is loaded, and a control door only when its guest has noticed
 * that it is another one. */
int boot_launch(struct machine *m, enum qemu_mode mode, struct err *err)
{
	struct shape shape = boot_shape(m);
	int state = -1, ctl, r = qemu_launch(&m->qemu, &shape, m->spec, mode, &state, err);

	if (r < 0)
		return r;
	times_reached(&m->times, "qemu");
	m->qemu_err = console_to_log(m->loop, TAKE_FD(m->qemu.stderr_fd), "qemu");
	m->console = console_to_file(m->loop, TAKE_FD(m->qemu.console_fd), m->spec->state_dir);
	m->qmp = qmp_new(m->loop, TAKE_FD(m->qemu.qmp_fd), &qmp_ops, m);
	if (mode != QEMU_RESUME) {
		ctl = qemu_connect_ctl(&m->qemu);
		if (ctl < 0)
			return err_errno(err, -ctl, "cannot connect to the control door");
		m->door = boot_door(m, ctl);
	}
	if (!m->qemu_err || !m->console || !m->qmp || (!m->door && mode != QEMU_RESUME) || machine_watch_qemu(m) < 0 ||
	    (mode == QEMU_THAW && boot_incoming(m, state) < 0))
		return err_errno(err, ENOMEM, "cannot start the machine");
	if (mode == QEMU_RESUME) {
		m->state_number = state;
		attach_layers(m);
	}
	return 0;
}

static void help(struct machine *m)
{
	struct err err = { 0 };

	if (m->state == MACHINE_STARTING && start_helpers(m, &err) < 0)
		machine_failed(m, &err);
}

static void on_helpers_timer(uv_timer_t *t)
{
	help(t->data);
}

/* QEMU takes longest until it needs somebody: it comes first. */
static void start_machine(struct machine *m, enum qemu_mode mode)
{
	uint64_t hello_ms = m->accel.kvm && m->accel.fallback ? KVM_HELLO_MS : m->spec->boot_timeout_ms;
	struct err err = { 0 };

	m->phase = "kernel";
	m->thawing = mode == QEMU_THAW;
	if (boot_launch(m, mode, &err) < 0) {
		machine_failed(m, &err);
		return;
	}
	log_info("event=boot accel=%s start=%s qemu_pid=%d fs_pid=%d", m->accel.kvm ? "kvm" : "tcg", m->thawing ? "warm" : "cold",
		 m->qemu.pid, m->fs.pid);
	if (door_call(m->door, "/health", NULL, m->thawing ? THAW_HELLO_MS : hello_ms, on_hello, m) < 0)
		fail(m, ERR_INTERNAL, "cannot reach the guest", "the control door did not open");
	help(m);
}

static void on_frozen(void *user, int memory, int state, const struct err *err)
{
	struct machine *m = user;

	frozenlink_free(TAKE_PTR(m->frozen));
	times_reached(&m->times, "frozen");
	if (err)
		log_warn("event=no_frozen_machine why=\"%s\" the machine boots instead", err->msg);
	m->qemu.in[QEMU_IN_MEMORY] = memory;
	m->qemu.in[QEMU_IN_STATE] = state;
	start_machine(m, err ? QEMU_COLD : QEMU_THAW);
}

/* The helpers start after QEMU, or while a frozen machine is still made. */
static void attempt(struct machine *m)
{
	struct shape shape = boot_shape(m);
	struct err err = { 0 };

	if (m->spec->saved) {
		resume_begin(m);
		return;
	}
	m->phase = "frozen machine";
	times_begin(&m->times);
	if (!m->cold) {
		m->frozen = frozenlink_ask(m->loop, &shape, m->spec->boot_timeout_ms / 2, on_frozen, m, &err);
		if (!m->frozen)
			log_warn("event=no_frozen_machine why=\"%s\" the machine boots instead", err.msg);
	}
	if (qemu_open(&m->qemu, &err) < 0 || qemu_open_sandbox(&m->qemu, m->spec, &err) < 0)
		machine_failed(m, &err);
	else if (!m->frozen)
		start_machine(m, QEMU_COLD);
	else
		(void)uv_timer_start(&m->helpers_timer, on_helpers_timer, HELPERS_MS, 0);
}

void boot_begin(struct machine *m)
{
	struct err err;

	/* Before anything is started: what cannot be published is known at once. */
	m->ports = ports_new(m->loop, m->spec, &err);
	if (!m->ports) {
		machine_failed(m, &err);
		return;
	}
	accel_decide(m->spec->accel, m->spec->cache_dir, &m->accel);
	attempt(m);
}

/* bwrap's words for "no user namespaces" are many; what to do about it is one thing. */
static bool no_namespaces(const char *words)
{
	return strstr(words, "bwrap:") && (strstr(words, "namespace") || strstr(words, "uid map"));
}

void boot_machine_ended(struct machine *m)
{
	struct err err;
	char words[300];

	console_drain(m->qemu_err);
	(void)str_format(words, sizeof(words), "%s", console_last(m->qemu_err));
	if (m->thawing) {
		not_thawed(m, words[0] ? words : "QEMU ended without a word");
		return;
	}
	if (m->spec->saved) {
		fail(m, ERR_INTERNAL, "the machine ended while it was resumed", words);
		return;
	}
	if (m->accel.kvm && m->accel.fallback) {
		log_warn("event=kvm_failed words=\"%s\"", words);
		accel_remember_failure(m->spec->cache_dir);
		machine_discard(m);
		accel_decide(SPEC_ACCEL_AUTO, m->spec->cache_dir, &m->accel);
		m->accel.kvm = m->accel.fallback = false;
		attempt(m);
		return;
	}
	/* An emulated kernel dies now and then in its first seconds under load. No program of the sandbox ran yet. */
	if (!m->tried_again && !m->accel.kvm && !no_namespaces(words)) {
		log_warn("event=boot_again words=\"%s\"", words);
		m->tried_again = true;
		machine_discard(m);
		attempt(m);
		return;
	}
	if (no_namespaces(words))
		(void)err_set(&err, ERR_UNAVAILABLE, 0,
			      "this host forbids user namespaces, which the machine's jail needs (%s): allow them with sysctl "
			      "kernel.unprivileged_userns_clone=1, or kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu",
			      words);
	else if (m->accel.kvm)
		(void)err_set(&err, ERR_UNAVAILABLE, 0,
			      "/dev/kvm cannot run a guest on this host (%s): set sandbox.accelerator to auto or tcg",
			      words[0] ? words : "the machine ended at once");
	else
		(void)err_set(&err, ERR_INTERNAL, 0, "the machine ended while it started (%s): see %s/vm.log and console.log",
			      words[0] ? words : "without a word", m->spec->state_dir);
	machine_failed(m, &err);
}
