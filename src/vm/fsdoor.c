/* SPDX-License-Identifier: Apache-2.0
 *
 * fsdoor: see fsdoor.h.
 */
#include "vm/fsdoor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/env.h"
#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "vm/jail.h"

/* In the jail: 3 the door, 4 the configuration, then the roots and their parents. */
#define MAX_FDS (2 + 2 * SPEC_MAX_WORKSPACES)

struct roots {
	int fds[MAX_FDS]; /* [0] and [1] are borrowed, the rest owned */
	size_t n;
	json_t *list; /* owned */
};

static void roots_done(struct roots *r)
{
	for (size_t i = 2; i < r->n; i++)
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

static int config_fd(const struct roots *r, const char *nonce, int *ret, struct err *err)
{
	json_t *o = json_pack("{s:s, s:O}", "nonce", nonce, "roots", r->list);
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

int fsdoor_start(const struct spec *spec, int fd, struct fsdoor *ret, struct err *err)
{
	struct fsdoor f = { .pidfd = -1, .stderr_fd = -1 };
	struct roots roots = { .fds = { fd, -1 }, .n = 2, .list = json_array() };
	auto_free char *nonce = str_random_hex(32);
	auto_fd int config = -1;
	int r = 0;

	if (!nonce || !roots.list)
		r = err_errno(err, ENOMEM, "cannot start sbx-fs");
	for (size_t i = 0; r == 0 && i < spec->nworkspaces; i++)
		r = add_root(spec, i, &roots, &f, err);
	if (r == 0)
		r = str_format(f.nonce, sizeof(f.nonce), "%s", nonce);
	if (r == 0)
		r = config_fd(&roots, f.nonce, &config, err);
	if (r == 0) {
		roots.fds[1] = config;
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

void fsdoor_done(struct fsdoor *f)
{
	own_close_p(&f->pidfd);
	own_close_p(&f->stderr_fd);
}
