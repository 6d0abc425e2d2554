/* SPDX-License-Identifier: Apache-2.0
 *
 * xattrs: see xattrs.h.
 */
#include "share/xattrs.h"

#include <errno.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/str.h"
#include "share/fs.h"

#define PATH_SIZE 40

/* The file's path in /proc; the request is answered where it may not have such an attribute (name NULL: any). */
static bool path_of(fuse_req_t req, fuse_ino_t ino, const char *name, bool change, char path[PATH_SIZE])
{
	struct fs *f = fs_of(req);
	struct node *n = fs_node(req, ino);
	int r;

	if (!n)
		return false;
	r = change ? tree_writable(&f->tree, n) : 0;
	if (r == 0 && ((name && !str_starts(name, "user.")) || tree_made_up(&f->tree, n) ||
		       !(S_ISREG(n->type) || S_ISDIR(n->type))))
		r = -EOPNOTSUPP;
	if (r == 0)
		r = tree_fd(&f->tree, n);
	if (r < 0) {
		fs_reply(req, r);
		return false;
	}
	(void)str_format(path, PATH_SIZE, "/proc/self/fd/%d", r);
	return true;
}

/* Builds of libfuse 3.14 differ about where the name begins (16 bytes in, or 8 as before FUSE_SETXATTR_EXT), so what it
 * passes on is not used: the layout that was agreed upon and that the guard has checked is read here. */
void xattrs_set(fuse_req_t req, fuse_ino_t ino, const char *unused_name, const char *unused_value,
		size_t unused_size, int unused_flags)
{
	const struct fuse_setxattr_in *in = door_args(req);
	const char *name = (const char *)(in + 1), *value = name + strlen(name) + 1;
	char path[PATH_SIZE];

	if (path_of(req, ino, name, true, path))
		fs_reply(req, setxattr(path, name, value, in->size, (int)in->flags) < 0 ? -errno : 0);
}

void xattrs_remove(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	char path[PATH_SIZE];

	if (path_of(req, ino, name, true, path))
		fs_reply(req, removexattr(path, name) < 0 ? -errno : 0);
}

/* size 0 asks how many bytes there are. */
static void answer(fuse_req_t req, ssize_t n, size_t size)
{
	if (n < 0)
		fs_reply(req, -errno);
	else if (size == 0)
		(void)fuse_reply_xattr(req, (size_t)n);
	else if ((size_t)n > size)
		fs_reply(req, -ERANGE);
	else
		(void)fuse_reply_buf(req, fs_of(req)->scratch, (size_t)n);
}

void xattrs_get(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	char path[PATH_SIZE];

	if (path_of(req, ino, name, false, path))
		answer(req, getxattr(path, name, fs_of(req)->scratch, FUSE_GUARD_MAX_XATTR), size);
}

/* Keeps what the guest may see, in place. */
static ssize_t only_user(char *list, ssize_t n)
{
	ssize_t kept = 0;

	for (ssize_t at = 0, len; at < n; at += len) {
		len = (ssize_t)strnlen(list + at, (size_t)(n - at)) + 1;
		if (!str_starts(list + at, "user."))
			continue;
		memmove(list + kept, list + at, (size_t)len);
		kept += len;
	}
	return kept;
}

void xattrs_list(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	char path[PATH_SIZE];
	ssize_t n;

	if (!path_of(req, ino, NULL, false, path))
		return;
	n = listxattr(path, fs_of(req)->scratch, FUSE_GUARD_MAX_XATTR);
	answer(req, n < 0 ? n : only_user(fs_of(req)->scratch, n), size);
}
