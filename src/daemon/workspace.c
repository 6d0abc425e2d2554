/* SPDX-License-Identifier: Apache-2.0
 *
 * workspace: see workspace.h. Reads the file system (realpath, stat), changes nothing.
 */
#include "daemon/workspace.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "base/str.h"

/* Never a workspace themselves: the guest has its own there. */
static const char *const system_exact[] = {
	"/",      "/bin",    "/boot",  "/dev", "/etc", "/home", "/lib",       "/lib32",
	"/lib64", "/libx32", "/media", "/mnt", "/opt", "/proc", "/root",      "/run",
	"/sbin",  "/srv",    "/sys",   "/tmp", "/usr", "/var",  "/usr/local", "/usr/src",
};
/* Nor anything below these. */
static const char *const system_below[] = {
	"/bin",       "/boot",      "/dev",        "/etc",         "/lib",         "/lib32",     "/lib64",
	"/libx32",    "/proc",      "/sbin",       "/sys",         "/usr/bin",     "/usr/sbin",  "/usr/lib",
	"/usr/lib32", "/usr/lib64", "/usr/libx32", "/usr/libexec", "/usr/include", "/usr/share", "/run/sbx", "/run/sbx-open",
};

/* Whether path is dir or below it. */
static bool is_within(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	if (str_eq(dir, "/"))
		return true;
	return strncmp(path, dir, n) == 0 && (path[n] == 0 || path[n] == '/');
}

static int check_system(const char *path, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(system_exact); i++)
		if (str_eq(path, system_exact[i]))
			return err_set(err, ERR_INVALID, 0,
				       "%s is a system folder and cannot be a workspace: use a project folder", path);
	for (size_t i = 0; i < ARRAY_LEN(system_below); i++)
		if (is_within(path, system_below[i]))
			return err_set(err, ERR_INVALID, 0,
				       "%.200s is inside the system folder %s, where the guest has its own files: use "
				       "a project "
				       "folder elsewhere",
				       path, system_below[i]);
	return 0;
}

static int check_own(const char *path, const char *what, const char *dir, struct err *err)
{
	char real[PATH_MAX];

	/* A directory that does not exist yet holds nothing, but will: compare it as written. */
	if (!realpath(dir, real) && str_format(real, sizeof(real), "%s", dir) < 0)
		return err_set(err, ERR_INVALID, ENAMETOOLONG, "the %s directory's path is too long", what);
	if (is_within(path, real))
		return err_set(err, ERR_INVALID, 0,
			       "%.150s is inside sbx's own %s directory (%.150s) and cannot be a workspace: use a "
			       "folder elsewhere",
			       path, what, real);
	if (is_within(real, path))
		return err_set(err, ERR_INVALID, 0,
			       "%.150s contains sbx's own %s directory (%.150s), so the guest could change other "
			       "sandboxes: use a "
			       "folder below it",
			       path, what, real);
	return 0;
}

static int check_place(const char *path, const struct env_dirs *dirs, struct err *err)
{
	int r = check_system(path, err);

	if (r == 0)
		r = check_own(path, "state", dirs->state, err);
	if (r == 0)
		r = check_own(path, "cache", dirs->cache, err);
	if (r == 0)
		r = check_own(path, "config", dirs->config, err);
	if (r == 0)
		r = check_own(path, "runtime", dirs->runtime, err);
	return r;
}

static int check_text(const char *path, struct err *err)
{
	char shown[300];

	if (path[0] != '/') {
		str_escape(shown, sizeof(shown), path, strlen(path));
		return err_set(err, ERR_INVALID, 0, "workspace '%s': the path must be absolute", shown);
	}
	for (const char *c = path; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f) {
			str_escape(shown, sizeof(shown), path, strlen(path));
			return err_set(err, ERR_INVALID, 0,
				       "workspace '%s': control characters in a path are not accepted", shown);
		}
	return 0;
}

int workspace_resolve(const char *path, bool must_be_dir, const struct env_dirs *dirs, struct workspace *ret,
		      struct err *err)
{
	auto_free char *real = NULL;
	struct stat st;
	int r = check_text(path, err);

	if (r < 0)
		return r;
	real = realpath(path, NULL);
	if (!real && (errno == ENOENT || errno == ENOTDIR))
		return err_set(err, ERR_NOT_FOUND, ENOENT, "workspace %.300s does not exist: create it first", path);
	if (!real || stat(real, &st) < 0)
		return err_errno(err, errno, "cannot use workspace %.300s", path);
	r = check_text(real, err);
	if (r == 0)
		r = check_place(real, dirs, err);
	if (r < 0)
		return r;
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, 0, "workspace %.300s is neither a folder nor a regular file", real);
	if (must_be_dir && !S_ISDIR(st.st_mode))
		return err_set(err, ERR_INVALID, ENOTDIR,
			       "workspace %.300s is a file: the first workspace must be a folder", real);
	if (access(real, S_ISDIR(st.st_mode) ? R_OK | X_OK : R_OK) < 0)
		return err_errno(err, errno, "cannot read workspace %.300s", real);
	*ret = (struct workspace){ .path = TAKE_PTR(real), .is_file = !S_ISDIR(st.st_mode) };
	return 0;
}

int workspace_check_list(const struct workspace *list, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++) {
			if (i == j)
				continue;
			if (str_eq(list[i].path, list[j].path))
				return err_set(err, ERR_INVALID, 0, "workspace %.300s is given twice: name it once",
					       list[i].path);
			if (list[i].readonly && !list[j].readonly && is_within(list[i].path, list[j].path))
				return err_set(
					err, ERR_INVALID, 0,
					"workspace %.150s is read-only but lies inside %.150s, which is writable: "
					"make the outer one read-only too, or leave the inner one out",
					list[i].path, list[j].path);
		}
	return 0;
}

bool workspace_is_there(const struct workspace *w)
{
	struct stat st;

	return stat(w->path, &st) == 0 && (w->is_file ? S_ISREG(st.st_mode) : S_ISDIR(st.st_mode));
}

void workspace_done(struct workspace *w)
{
	free(w->path);
	*w = (struct workspace){ 0 };
}
