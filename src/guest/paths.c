/* SPDX-License-Identifier: Apache-2.0
 *
 * paths: see paths.h. Runs after the switch of the root, before any other process exists, so that symlinks that an
 * earlier run left in the sandbox lead nowhere but into the sandbox.
 */
#include "guest/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/own.h"
#include "base/str.h"

/* Mounting over one of these leaves a guest that cannot run anything. */
static const char *const taken[] = {
	"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/sys",
	"/usr", "/usr/bin", "/usr/lib", "/usr/lib64", "/usr/libexec", "/usr/sbin", "/usr/share", "/var", "/var/lib",
};
static const char *const taken_trees[] = { "/proc", "/sys", "/dev", "/run/sbx", "/run/sbx-open" };

bool paths_is_at_or_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	while (n > 1 && dir[n - 1] == '/')
		n--;
	if (n == 1)
		return path[0] == '/';
	return strncmp(path, dir, n) == 0 && (path[n] == 0 || path[n] == '/');
}

static bool is_clean(const char *path)
{
	if (path[0] != '/' || path[1] == 0)
		return false;
	for (const char *p = path + 1;;) {
		size_t n = strcspn(p, "/");

		if (n == 0 || n > NAME_MAX || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		if (p[n] == 0)
			return true;
		p += n + 1;
	}
}

int paths_check_workspace(const char *path, struct err *err)
{
	bool bad = false;

	if (str_eq(path, "/"))
		bad = true;
	else if (strlen(path) >= PATH_MAX || !is_clean(path))
		return err_set(err, ERR_INVALID, EINVAL, "workspace path \"%.200s\" is not absolute and clean", path);
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		bad = bad || str_eq(path, taken[i]);
	for (size_t i = 0; i < ARRAY_LEN(taken_trees); i++)
		bad = bad || paths_is_at_or_below(path, taken_trees[i]);
	if (bad)
		return err_set(err, ERR_INVALID, EINVAL,
			       "workspace %s would hide a system directory of the sandbox; use a folder below it", path);
	return 0;
}

static int make_dir(const char *path, const struct user *owner, dev_t root_dev, struct err *err)
{
	struct stat st;

	if (mkdir(path, 0755) == 0) {
		if (owner && paths_is_at_or_below(path, owner->home) && chown(path, owner->uid, owner->gid) < 0)
			return err_errno(err, errno, "cannot give %s to %s", path, owner->name);
		return 0;
	}
	if (errno != EEXIST && errno != EROFS && errno != EACCES && errno != EPERM)
		return err_errno(err, errno, "cannot make the mount point %s", path);
	if (stat(path, &st) < 0)
		return err_errno(err, errno, "cannot make the mount point %s", path);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, ERR_CONFLICT, ENOTDIR, "mount point %s: not a directory in the sandbox", path);
	/* Such as /root on the way to /root/project: the sandbox's user must be able to reach the workspace. */
	if (st.st_dev == root_dev && (st.st_mode & 0111) != 0111)
		(void)chmod(path, (st.st_mode & 07777) | 0111);
	return 0;
}

static int make_file(const char *path, struct err *err)
{
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
	struct stat st;

	/* What is there already may be read-only, or a socket: it only must not be a directory. */
	if (fd < 0 && (stat(path, &st) < 0 || S_ISDIR(st.st_mode)))
		return err_errno(err, errno ? errno : EISDIR, "cannot make the mount point %s", path);
	return 0;
}

int paths_make_mount_point(const char *path, bool file, const struct user *owner, struct err *err)
{
	char at[PATH_MAX];
	struct stat root;
	int r = str_format(at, sizeof(at), "%s", path);

	if (r < 0 || stat("/", &root) < 0)
		return err_errno(err, ENAMETOOLONG, "mount point %.100s", path);
	for (char *p = at + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = 0;
		r = make_dir(at, owner, root.st_dev, err);
		if (r < 0)
			return r;
		*p = '/';
	}
	return file ? make_file(at, err) : make_dir(at, owner, root.st_dev, err);
}
