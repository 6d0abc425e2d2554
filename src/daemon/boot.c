/* SPDX-License-Identifier: Apache-2.0
 *
 * boot: see boot.h.
 */
#include "daemon/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/env.h"
#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/spawn.h"
#include "base/str.h"
#include "daemon/admission.h"
#include "daemon/agents.h"
#include "daemon/layer.h"
#include "daemon/pause.h"
#include "daemon/ports.h"
#include "daemon/rules.h"
#include "daemon/settings.h"
#include "daemon/signins.h"
#include "daemon/template.h"
#include "daemon/upstream.h"

#define LISTEN_BACKLOG 128
#define START_SLACK_MS 15000
#define LAYER_GRACE_MS 30000
#define LOG_MAX_BYTES (4 << 20)

/* STATE/sandboxes/<id>/vm.log. */
static int open_log(const struct sandbox *s, int flags)
{
	char name[STORE_ID_SIZE + 16];

	(void)str_format(name, sizeof(name), "%s/vm.log", s->row.id);
	return openat(s->daemon->disks.fd, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
}

bool boot_is_alive(const struct sandbox *s)
{
	auto_fd int fd = open_log(s, O_RDONLY);

	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

static void socket_name(const struct sandbox *s, char *dst, size_t size)
{
	(void)str_format(dst, size, "%s.sock", s->row.id);
}

void boot_unlink_socket(const struct sandbox *s)
{
	char name[STORE_ID_SIZE + 8];

	socket_name(s, name, sizeof(name));
	(void)unlinkat(s->daemon->vm_fd, name, 0);
}

static int check_files(const struct sandbox *s, struct err *err)
{
	char disk[STORE_ID_SIZE + 16];
	struct stat st;

	for (size_t i = 0; i < s->row.nworkspaces; i++)
		if (!workspace_is_there(&s->row.workspaces[i]))
			return err_set(err, ERR_NOT_FOUND, ENOENT,
				       "workspace %.300s of sandbox '%s' is not there any more: bring it back, or "
				       "remove the sandbox",
				       s->row.workspaces[i].path, s->row.name);
	(void)str_format(disk, sizeof(disk), "%s/disk.img", s->row.id);
	if (fstatat(s->daemon->disks.fd, disk, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, ERR_NOT_FOUND, ENOENT,
			       "the disk of sandbox '%s' is gone (%.250s/%s): remove the sandbox and create it again",
			       s->row.name, s->daemon->disks.path, disk);
	return 0;
}

static json_t *workspaces_json(const struct store_row *row)
{
	json_t *a = json_array();

	for (size_t i = 0; a && i < row->nworkspaces; i++) {
		const struct workspace *w = &row->workspaces[i];

		if (json_array_append_new(a, json_pack("{s:s, s:b, s:s}", "path", w->path, "readonly", w->readonly,
						       "type", w->is_file ? "file" : "dir")) < 0) {
			json_decref(a);
			return NULL;
		}
	}
	return a;
}

/* The machine in which a layer is made waits for whoever installs there, however short the user keeps the others. */
static uint64_t grace_ms(const struct sandbox *s, const struct settings *set)
{
	return layer_owns(s) && set->stop_grace_ms < LAYER_GRACE_MS ? LAYER_GRACE_MS : set->stop_grace_ms;
}

/* The whole spec but what comes from the template. */
static json_t *spec_json(const struct sandbox *s, const struct settings *set)
{
	const struct store_row *row = &s->row;
	auto_free char *dir = str_new("%s/%s", s->daemon->disks.path, row->id),
		       *disk = str_new("%s/disk.img", dir ? dir : "");
	char hostname[NAME_SIZE];

	if (!dir || !disk)
		return NULL;
	name_hostname(hostname, row->name + strspn(row->name, ".")); /* layer.h: a name that no user gives */
	return json_pack("{s:s, s:s, s:s, s:i, s:I, s:s, s:s, s:o, s:O, s:s, s:s, s:s, s:I, s:I, s:b, s:b, s:o, s:{s:o, s:s?}}", "id", row->id,
			 "name", row->name, "hostname", hostname, "cpus", (int)row->cpus, "memory_mib",
			 (json_int_t)row->memory_mib, "accel", set->accelerator, "disk", disk, "workspaces",
			 workspaces_json(row), "env", row->env, "machine_id", row->machine_id, "state_dir", dir,
			 "cache_dir", s->daemon->dirs.cache, "grace_ms", (json_int_t)grace_ms(s, set),
			 "boot_timeout_ms", (json_int_t)set->boot_timeout_ms, "keep", row->keep, "cold", row->cold, "ports",
			 ports_spec(row), "network", "upstream", upstream_json(set), "extra_ca",
			 set->extra_ca[0] ? set->extra_ca : NULL);
}

/* What the agent's profile gives: variables, under those of the sandbox itself, and files. One that cannot be read any
 * more is no reason not to start. */
static int add_outfit(const struct sandbox *s, json_t *spec)
{
	json_t *profile = NULL, *outfit = NULL;
	struct err why = { 0 };
	int r = 0;

	if (s->row.nworkspaces == 0)
		return 0;
	if (agents_find(&s->daemon->dirs, s->row.agent, &profile, &why) < 0 ||
	    agents_outfit(profile, s->row.workspaces[0].path, &outfit, &why) < 0) {
		log_warn("event=no_outfit id=%s agent=%s error=\"%s\"", s->row.id, s->row.agent, why.msg);
	} else {
		json_t *env = json_object_get(outfit, "env");

		r = json_object_update(env, s->row.env) | json_object_set(spec, "env", env) |
		    json_object_set(spec, "files", json_object_get(outfit, "files"));
	}
	json_decref(profile);
	json_decref(outfit);
	return r;
}

static int add_signins(const struct sandbox *s, json_t *o, struct err *err)
{
	json_t *list = signins_json(&s->daemon->dirs, err);

	if (!list)
		return err_code(err);
	return json_object_set_new(o, "signins", list) < 0 ? err_errno(err, ENOMEM, "the sign-ins") : 0;
}

/* A paused one goes on. */
static int add_saved(const struct sandbox *s, json_t *o, struct err *err)
{
	auto_free char *path = s->paused ? pause_path(s) : NULL;

	return s->paused && (!path || json_object_set_new(o, "saved", json_string(path)) < 0) ? err_errno(err, ENOMEM, "the saved memory") : 0;
}

static int spec_fd(const struct sandbox *s, const struct settings *set, struct err *err)
{
	auto_fd int fd = memfd_create("sbx-spec", MFD_CLOEXEC);
	auto_free char *text = NULL;
	json_t *o = spec_json(s, set);
	int r;

	if (!o || fd < 0 || add_outfit(s, o) < 0) {
		json_decref(o);
		return err_errno(err, ENOMEM, "sandbox '%s'", s->row.name);
	}
	r = json_object_set_new(o, "auto_pause_ms", json_integer(layer_owns(s) ? 0 : (json_int_t)set->auto_pause_ms)) < 0 ?
		    err_errno(err, ENOMEM, "sandbox '%s'", s->row.name) :
		    add_saved(s, o, err);
	if (r == 0)
		r = add_signins(s, o, err);
	if (r == 0)
		r = template_resolve(s->daemon->dirs.cache, s->row.template, o, err);
	if (r == 0) {
		text = json_dumps(o, JSON_COMPACT);
		r = text ? io_write_all(fd, text, strlen(text)) : -ENOMEM;
		if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
			r = -errno;
		if (r < 0)
			(void)err_errno(err, -r, "cannot write the spec of sandbox '%s'", s->row.name);
	} else {
		(void)err_wrap(err, "sandbox '%s'", s->row.name);
	}
	json_decref(o);
	return r < 0 ? r : TAKE_FD(fd);
}

/* The log of earlier runs is kept up to a bound. The lock goes to the supervisor with the descriptor. */
static int lock_log(const struct sandbox *s, struct err *err)
{
	auto_fd int fd = open_log(s, O_WRONLY | O_CREAT | O_APPEND);
	struct stat st;

	if (fd < 0)
		return err_errno(err, errno, "cannot write the log of sandbox '%s'", s->row.name);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(err, ERR_CONFLICT, EBUSY,
			       "a process of sandbox '%s' is still alive and cannot be reached: `sbx stop %s` ends it",
			       s->row.name, s->row.name);
	if (fstat(fd, &st) == 0 && st.st_size > LOG_MAX_BYTES)
		(void)!ftruncate(fd, 0);
	return TAKE_FD(fd);
}

static int spawn(const struct sandbox *s, int spec, int listener, int log, struct err *err)
{
	auto_free char *program = env_program("sbx-vm");
	const char *const argv[] = { "sbx-vm", "--id", s->row.id, "--name", s->row.name, NULL };
	const int fds[] = { spec, listener };
	struct spawn sp = {
		.path = program,
		.argv = argv,
		.stdin_fd = -1,
		.stdout_fd = -1,
		.stderr_fd = log,
		.fds = fds,
		.nfds = ARRAY_LEN(fds),
		.new_session = true,
		.cwd = "/",
	};

	if (!program)
		return err_set(err, ERR_INTERNAL, ENOENT, "/proc is not mounted");
	if (access(program, X_OK) < 0)
		return err_set(err, ERR_UNAVAILABLE, errno, "%.300s is missing: install sbx again", program);
	return spawn_start(&sp, NULL, NULL, err);
}

int boot_spawn(struct sandbox *s, uint64_t *ret_timeout_ms, struct err *err)
{
	auto_fd int spec = -1, listener = -1, log = -1;
	struct settings set;
	char name[STORE_ID_SIZE + 8];
	int r = settings_load(s->daemon->dirs.config, &set, NULL, err);

	if (r == 0)
		r = rules_ready(s->daemon, err);
	if (r == 0)
		r = check_files(s, err);
	/* Looked at anew: a machine that starts from the disk makes a memory that was overlooked one of another disk. */
	if (r == 0)
		r = pause_look(s, err);
	if (r == 0)
		r = admission_check(s, set.memory_reserve_bytes, err);
	if (r == 0)
		r = rules_write(s, err);
	if (r < 0)
		return r;
	log = lock_log(s, err);
	if (log < 0)
		return log;
	spec = spec_fd(s, &set, err);
	if (spec < 0)
		return spec;
	socket_name(s, name, sizeof(name));
	listener = io_unix_listen(s->daemon->vm_fd, name, LISTEN_BACKLOG);
	if (listener < 0)
		return err_errno(err, -listener, "cannot make the socket %.300s/vm/%s", s->daemon->dirs.runtime, name);
	r = spawn(s, spec, listener, log, err);
	if (r < 0) {
		boot_unlink_socket(s);
		return r;
	}
	*ret_timeout_ms = set.boot_timeout_ms + START_SLACK_MS;
	return 0;
}

/* Whether process pid, held by pidfd, is `sbx-vm --id ID` of ours. Read after the pidfd was opened, so that the
 * number cannot have passed to another process in between. */
static bool is_supervisor(int proc, const char *pid, const char *id)
{
	static const char option[] = "--id";
	char path[64], text[256] = "";
	auto_fd int fd = -1;
	const char *arg0 = text, *arg1, *arg2;
	struct stat st;
	ssize_t n;

	(void)str_format(path, sizeof(path), "%s/cmdline", pid);
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != geteuid())
		return false;
	n = io_read_full(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = 0;
	arg1 = arg0 + strlen(arg0) + 1;
	if (arg1 - text + (ssize_t)sizeof(option) >= n || !str_eq(arg1, option))
		return false;
	arg2 = arg1 + sizeof(option);
	return str_ends(arg0, "sbx-vm") && str_eq(arg2, id);
}

static bool kill_one(int proc, const char *pid, const char *id)
{
	auto_fd int pidfd = -1;
	uint64_t number;

	if (str_u64(pid, INT32_MAX, &number) < 0 || number < 2)
		return false;
	pidfd = (int)syscall(SYS_pidfd_open, (pid_t)number, 0U);
	if (pidfd < 0 || !is_supervisor(proc, pid, id))
		return false;
	return syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0U) == 0;
}

int boot_kill(const struct sandbox *s)
{
	auto_dir DIR *d = opendir("/proc");
	struct dirent *e;
	int hit = 0;

	while (d && (e = readdir(d)))
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && kill_one(dirfd(d), e->d_name, s->row.id))
			hit++;
	log_warn("event=kill id=%s processes=%d", s->row.id, hit);
	return hit;
}
