/* SPDX-License-Identifier: Apache-2.0
 *
 * attrs: see attrs.h.
 */
#include "share/attrs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/own.h"
#include "base/str.h"
#include "share/fs.h"

static void reply_attr(fuse_req_t req, struct node *n, const struct handle *h)
{
	struct fs *f = fs_of(req);
	struct statx stx;
	struct stat st;
	int r;

	if (h && h->fd >= 0) {
		r = tree_statx(h->fd, "", &stx);
		if (r == 0)
			tree_attr(&f->tree, &stx, &st);
	} else {
		r = tree_stat(&f->tree, n, &st);
	}
	if (r < 0)
		fs_reply(req, r);
	else
		(void)fuse_reply_attr(req, &st, f->cache_s);
}

/* The open file that the guest names beside the node, where it names one. */
static struct handle *handle_of(struct fs *f, const struct node *n, const struct fuse_file_info *fi)
{
	struct handle *h = fi ? handle_get(&f->handles, fi->fh, n, false) : NULL;

	return h ? h : fi ? handle_get(&f->handles, fi->fh, n, true) : NULL;
}

void attrs_get(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *n = fs_node(req, ino);

	if (n)
		reply_attr(req, n, handle_of(fs_of(req), n, fi));
}

static int set_mode(struct fs *f, int fd, const struct node *n, mode_t mode)
{
	char name[16];

	if (S_ISLNK(n->type))
		return -EOPNOTSUPP;
	mode &= S_ISDIR(n->type) ? 03777 : 0777;
	(void)str_format(name, sizeof(name), "%d", fd);
	return fchmodat(f->tree.proc_fd, name, mode, 0) < 0 ? -errno : 0;
}

static bool owner_ok(uid_t id, uid_t shown)
{
	return id == 0 || id == shown || id == (uid_t)-1;
}

static int set_owner(const struct stat *attr, int to_set)
{
	if ((to_set & FUSE_SET_ATTR_UID) && !owner_ok(attr->st_uid, TREE_UID))
		return -EPERM;
	if ((to_set & FUSE_SET_ATTR_GID) && !owner_ok(attr->st_gid, TREE_GID))
		return -EPERM;
	return 0;
}

/* Through the file that is open for writing, where there is one: permissions may have changed since. */
static int set_size(struct fs *f, struct node *n, const struct handle *h, off_t size)
{
	auto_fd int fd = -1;

	if (!S_ISREG(n->type))
		return S_ISDIR(n->type) ? -EISDIR : -EINVAL;
	if (h && h->fd >= 0 && h->writable)
		return ftruncate(h->fd, size) < 0 ? -errno : 0;
	fd = tree_open(&f->tree, n, O_WRONLY);
	if (fd < 0)
		return fd;
	return ftruncate(fd, size) < 0 ? -errno : 0;
}

static int set_times(int fd, const struct stat *attr, int to_set)
{
	struct timespec ts[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_OMIT } };

	if (to_set & FUSE_SET_ATTR_ATIME_NOW)
		ts[0].tv_nsec = UTIME_NOW;
	else if (to_set & FUSE_SET_ATTR_ATIME)
		ts[0] = attr->st_atim;
	if (to_set & FUSE_SET_ATTR_MTIME_NOW)
		ts[1].tv_nsec = UTIME_NOW;
	else if (to_set & FUSE_SET_ATTR_MTIME)
		ts[1] = attr->st_mtim;
	return utimensat(fd, "", ts, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

#define SET_TIMES (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW)

static int set(struct fs *f, struct node *n, const struct handle *h, const struct stat *attr, int to_set)
{
	auto_fd int fd = -1;
	int r = tree_writable(&f->tree, n);

	if (r == 0)
		r = set_owner(attr, to_set);
	if (r == 0 && (to_set & FUSE_SET_ATTR_SIZE))
		r = set_size(f, n, h, attr->st_size);
	if (r < 0 || !(to_set & (FUSE_SET_ATTR_MODE | SET_TIMES)))
		return r;
	fd = tree_dup(&f->tree, n);
	if (fd < 0)
		return fd;
	if (to_set & FUSE_SET_ATTR_MODE)
		r = set_mode(f, fd, n, attr->st_mode);
	if (r == 0 && (to_set & SET_TIMES))
		r = set_times(fd, attr, to_set);
	return r;
}

void attrs_set(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	struct fs *f = fs_of(req);
	struct node *n = fs_node(req, ino);
	struct handle *h;
	int r;

	if (!n)
		return;
	h = handle_of(f, n, fi);
	r = set(f, n, h, attr, to_set);
	if (r < 0)
		fs_reply(req, r);
	else
		reply_attr(req, n, h);
}

void attrs_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	struct fs *f = fs_of(req);
	struct node *n = fs_node(req, ino);
	char name[16];
	int fd;

	if (!n)
		return;
	if ((mask & W_OK) && tree_writable(&f->tree, n) < 0) {
		fs_reply(req, -EROFS);
		return;
	}
	if (tree_made_up(&f->tree, n) || S_ISLNK(n->type)) {
		fs_reply(req, 0);
		return;
	}
	fd = tree_fd(&f->tree, n);
	if (fd < 0) {
		fs_reply(req, fd);
		return;
	}
	(void)str_format(name, sizeof(name), "%d", fd);
	fs_reply(req, faccessat(f->tree.proc_fd, name, mask & (R_OK | W_OK | X_OK), 0) < 0 ? -errno : 0);
}

void attrs_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct fs *f = fs_of(req);
	struct node *n = fs_node(req, ino);
	struct statvfs st = { .f_bsize = 4096, .f_frsize = 4096, .f_namemax = FUSE_GUARD_MAX_NAME };
	int fd;

	if (!n)
		return;
	if (!tree_made_up(&f->tree, n)) {
		fd = tree_fd(&f->tree, n);
		if (fd < 0 || fstatvfs(fd, &st) < 0) {
			fs_reply(req, fd < 0 ? fd : -errno);
			return;
		}
	}
	(void)fuse_reply_statfs(req, &st);
}
