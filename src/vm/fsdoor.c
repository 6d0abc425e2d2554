/* SPDX-License-Identifier: Apache-2.0
 *
 * fsdoor: see fsdoor.h.
 */
#include "vm/fsdoor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/env.h"
#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "vm/jail.h"
#include "wire/fsstate.h"

/* In the jail: 3 the door, 4 the configuration, 5 the control socket, 6 the saved state where there is one, then the roots
 * and their parents. */
#define MAX_FDS (4 + 2 * SPEC_MAX_WORKSPACES)
#define CONTROL_FD 5
#define STATE_FD 6
#define COPY_BYTES 65536

struct roots {
	int fds[MAX_FDS]; /* the first ones are borrowed, the rest owned */
	size_t n, borrowed;
	json_t *list; /* owned */
};

static void roots_done(struct roots *r)
{
	for (size_t i = r->borrowed; i < r->n; i++)
		own_close_p(&r->fds[i]);
	json_decref(r->list);
}

/* Whether path lies below one of the other workspaces. */
static bool inside_another(const struct spec *spec, size_t index)
{
	const char *path = spec->workspaces[index].path;

	for (size_t i = 0; i < spec->nworkspaces; i++) {
		size_t n = strlen(spec->workspaces[i].path);

		if (i != index && strncmp(path, spec->workspaces[i].path, n) == 0 && path[n] == '/')
			return true;
	}
	return false;
}

/* The parent lets sbx-fs know a protected path by name too, for when a host editor replaces the file. */
static int add_parent(struct roots *r, const char *path, json_t *root, struct err *err)
{
	auto_free char *dir = strdup(path);
	char *slash = dir ? strrchr(dir, '/') : NULL;
	int fd;

	if (!slash)
		return err_set(err, ERR_INVALID, 0, "%s is not an absolute path", path);
	*slash = 0;
	fd = open(dir[0] ? dir : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, errno, "cannot open %s", dir);
	(void)json_object_set_new(root, "parent_fd", json_integer((json_int_t)(3 + r->n)));
	(void)json_object_set_new(root, "name", json_string(slash + 1));
	r->fds[r->n++] = fd;
	return 0;
}

static int add_root(const struct spec *spec, size_t i, struct roots *r, struct fsdoor *f, struct err *err)
{
	const struct spec_workspace *w = &spec->workspaces[i];
	auto_fd int fd = open(w->path, O_PATH | O_CLOEXEC);
	struct stat st;
	json_t *root;
	int e = 0;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(err, errno, "cannot open the workspace %s", w->path);
	if (w->is_file ? !S_ISREG(st.st_mode) : !S_ISDIR(st.st_mode))
		return err_set(err, ERR_CONFLICT, 0, "the workspace %s is no %s any more", w->path,
			       w->is_file ? "file" : "directory");
	f->ino[i] = st.st_ino;
	root = json_pack("{s:i, s:s, s:b, s:s}", "fd", (int)(3 + r->n), "path", w->path, "readonly", w->readonly, "type",
			 w->is_file ? "file" : "dir");
	if (!root || json_array_append(r->list, root) < 0)
		e = err_errno(err, ENOMEM, "cannot describe the workspace %s", w->path);
	r->fds[r->n++] = TAKE_FD(fd);
	if (e == 0 && (w->is_file || (w->readonly && inside_another(spec, i))))
		e = add_parent(r, w->path, root, err);
	json_decref(root);
	return e;
}

static int config_fd(const struct roots *r, const char *nonce, bool restores, int *ret, struct err *err)
{
	json_t *o = json_pack("{s:s, s:O, s:i, s:i}", "nonce", nonce, "roots", r->list, "control_fd", CONTROL_FD, "state_fd",
			      restores ? STATE_FD : -1);
	auto_free char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	auto_fd int fd = memfd_create("fs-config", MFD_CLOEXEC);

	json_decref(o);
	if (!text || fd < 0 || io_write_all(fd, text, strlen(text)) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_errno(err, ENOMEM, "cannot hand over the workspaces");
	*ret = TAKE_FD(fd);
	return 0;
}

static int start(const struct spec *spec, const struct roots *roots, struct fsdoor *f, struct err *err)
{
	auto_free char *program = env_program("sbx-fs");
	struct jail *j = calloc(1, sizeof(*j));
	int p[2], r;

	if (!j || !program) {
		free(j);
		return err_errno(err, ENOMEM, "cannot start sbx-fs");
	}
	if (pipe2(p, O_CLOEXEC) < 0) {
		free(j);
		return err_errno(err, errno, "cannot make a pipe");
	}
	f->stderr_fd = p[0];
	r = jail_init(j, program, JAIL_PROC | JAIL_FILE_OWNER, err);
	if (r == 0) {
		jail_run(j, roots->n);
		jail_arg(j, "--id");
		jail_arg(j, "%s", spec->id);
		r = jail_start(j, roots->fds, roots->n, p[1], &f->pidfd, err);
	}
	(void)close(p[1]);
	if (r == 0)
		f->pid = jail_pid(j, 5000);
	jail_done(j);
	free(j);
	return r;
}

static int describe(const struct spec *spec, bool restores, struct roots *roots, struct fsdoor *f, struct err *err)
{
	auto_free char *nonce = str_random_hex(32);
	int r = 0;

	if (!nonce || !roots->list)
		r = err_errno(err, ENOMEM, "cannot start sbx-fs");
	for (size_t i = 0; r == 0 && i < spec->nworkspaces; i++)
		r = add_root(spec, i, roots, f, err);
	if (r == 0)
		r = str_format(f->nonce, sizeof(f->nonce), "%s", nonce);
	return r == 0 ? config_fd(roots, f->nonce, restores, &roots->fds[1], err) : r;
}

int fsdoor_start(const struct spec *spec, int fd, int state_fd, struct fsdoor *ret, struct err *err)
{
	struct fsdoor f = { .pidfd = -1, .stderr_fd = -1, .control_fd = -1 };
	struct roots roots = { .fds = { fd, -1, -1, state_fd }, .list = json_array() };
	auto_fd int config = -1, control = -1;
	int r, pair[2];

	roots.n = roots.borrowed = state_fd >= 0 ? 4 : 3;
	r = describe(spec, state_fd >= 0, &roots, &f, err);
	config = roots.fds[1];
	if (r == 0 && io_socketpair(pair) < 0)
		r = err_errno(err, errno, "cannot start sbx-fs");
	if (r == 0) {
		f.control_fd = pair[0];
		roots.fds[2] = control = pair[1];
		r = start(spec, &roots, &f, err);
	}
	roots_done(&roots);
	if (r < 0) {
		fsdoor_done(&f);
		return r;
	}
	*ret = f;
	return 0;
}

/* ---- saving ---- */

/* Up to n bytes as they come: bytes read, or -errno. */
static ssize_t receive(int fd, void *bytes, size_t n, uint64_t deadline_ms)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		uint64_t now = io_now_ms();
		int ready = poll(&p, 1, now < deadline_ms ? (int)(deadline_ms - now) : 0);
		ssize_t got = ready > 0 ? recv(fd, bytes, n, MSG_DONTWAIT) : -1;

		if (ready == 0)
			return -ETIMEDOUT;
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		return got == 0 ? -EPIPE : got < 0 ? -errno : got;
	}
}

/* One line, without its end; -EPROTO where it is longer than size. */
static int receive_line(int fd, char *line, size_t size, uint64_t deadline_ms)
{
	for (size_t n = 0; n < size; n++) {
		ssize_t r = receive(fd, line + n, 1, deadline_ms);

		if (r < 0)
			return (int)r;
		if (line[n] == '\n') {
			line[n] = 0;
			return 0;
		}
	}
	return -EPROTO;
}

static int copy(int from, int to, uint64_t n, uint64_t deadline_ms)
{
	auto_free uint8_t *bytes = malloc(COPY_BYTES);

	if (!bytes)
		return -ENOMEM;
	while (n > 0) {
		ssize_t got = receive(from, bytes, n < COPY_BYTES ? (size_t)n : COPY_BYTES, deadline_ms);
		int r = got < 0 ? (int)got : io_write_all(to, bytes, (size_t)got);

		if (r < 0)
			return r;
		n -= (uint64_t)got;
	}
	return 0;
}

/* What sbx-fs says why not; its own words, which the guest may have shaped a part of. */
static int refused(char *line, struct err *err)
{
	char *kind = line + strlen("no "), *text = strchr(kind, ' '), plain[300];

	if (!text)
		return -EPROTO;
	*text++ = 0;
	str_escape(plain, sizeof(plain), text, strlen(text));
	return err_set(err, err_kind_from_name(kind), 0, "the file door cannot be saved: %s", plain);
}

static int save(struct fsdoor *f, int fd, uint64_t deadline_ms, size_t *ret_lost, struct err *err)
{
	static const char ask[] = "save\n";
	char line[600], *lost;
	uint64_t n, l;
	int r;

	if (send(f->control_fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)sizeof(ask) - 1)
		return -EPIPE;
	r = receive_line(f->control_fd, line, sizeof(line), deadline_ms);
	if (r < 0)
		return r;
	if (str_starts(line, "no "))
		return refused(line, err);
	lost = str_starts(line, "ok ") ? strchr(line + 3, ' ') : NULL;
	if (!lost)
		return -EPROTO;
	*lost++ = 0;
	if (str_u64(line + 3, FSSTATE_MAX_BYTES, &n) < 0 || str_u64(lost, FSSTATE_MAX_HANDLES, &l) < 0)
		return -EPROTO;
	r = copy(f->control_fd, fd, n, deadline_ms);
	if (r == 0)
		*ret_lost = (size_t)l;
	return r;
}

int fsdoor_save(struct fsdoor *f, int fd, uint64_t timeout_ms, size_t *ret_lost, struct err *err)
{
	struct err why = { 0 };
	int r = f->control_fd < 0 ? -EPIPE : save(f, fd, io_now_ms() + timeout_ms, ret_lost, &why);

	if (r == 0)
		return 0;
	if (why.kind != ERR_NONE) {
		*err = why;
		return r;
	}
	/* Half an answer may still come. */
	own_close_p(&f->control_fd);
	return err_errno(err, -r, "cannot save what the guest has open");
}

void fsdoor_done(struct fsdoor *f)
{
	own_close_p(&f->pidfd);
	own_close_p(&f->stderr_fd);
	own_close_p(&f->control_fd);
}
