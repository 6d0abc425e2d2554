/* SPDX-License-Identifier: Apache-2.0
 *
 * fs: see fs.h.
 *
 * What is agreed upon with the guest's kernel: no write-back cache; cached pages are dropped when size or time of
 * change differ (FUSE_AUTO_INVAL_DATA); names and attributes are believed for cache_ms, by default not at all, so that
 * what the host edits is seen at once. Locks are taken on the host (FUSE_POSIX_LOCKS, FUSE_FLOCK_LOCKS).
 */
#include "share/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/own.h"
#include "share/attrs.h"
#include "share/control.h"
#include "share/dirs.h"
#include "share/files.h"
#include "share/locks.h"
#include "share/names.h"
#include "share/restore.h"
#include "share/xattrs.h"

struct fs *fs_of(fuse_req_t req)
{
	return door_user(req);
}

struct node *fs_node(fuse_req_t req, fuse_ino_t ino)
{
	struct node *n = node_get(&fs_of(req)->tree.nodes, ino);

	if (!n)
		fs_reply(req, -ESTALE);
	return n;
}

int fs_reopen(struct fs *f, struct handle *h)
{
	int fd = (h->flags & O_ACCMODE) != O_RDONLY ? tree_writable(&f->tree, h->node) : 0;

	if (fd == 0)
		fd = tree_open(&f->tree, h->node, h->flags);
	if (fd < 0)
		return fd;
	h->fd = fd;
	h->lost = false;
	return 0;
}

struct handle *fs_closing(fuse_req_t req, fuse_ino_t ino, const struct fuse_file_info *fi, bool dir)
{
	struct fs *f = fs_of(req);
	struct node *n = node_get(&f->tree.nodes, ino);
	struct handle *h = n ? handle_get(&f->handles, fi->fh, n, dir) : NULL;

	if (!h)
		fs_reply(req, -EBADF);
	return h;
}

/* What was lost comes back where its file has a name again: the host has moved it, and the guest has met it there. */
static struct handle *handle_of(fuse_req_t req, fuse_ino_t ino, const struct fuse_file_info *fi, bool dir)
{
	struct handle *h = fs_closing(req, ino, fi, dir);

	if (h && h->lost && fs_reopen(fs_of(req), h) < 0) {
		fs_reply(req, -ESTALE);
		return NULL;
	}
	return h;
}

struct handle *fs_file(fuse_req_t req, fuse_ino_t ino, const struct fuse_file_info *fi)
{
	return handle_of(req, ino, fi, false);
}

struct handle *fs_dir(fuse_req_t req, fuse_ino_t ino, const struct fuse_file_info *fi)
{
	return handle_of(req, ino, fi, true);
}

void fs_reply(fuse_req_t req, int r)
{
	(void)fuse_reply_err(req, r < 0 ? -r : 0);
}

void fs_entry(struct fs *f, struct node *n, const struct stat *st, struct fuse_entry_param *ret)
{
	n->nlookup++;
	*ret = (struct fuse_entry_param){
		.ino = node_id(n),
		.generation = 1,
		.attr = *st,
		.attr_timeout = f->cache_s,
		.entry_timeout = f->cache_s,
	};
}

void fs_reply_entry(fuse_req_t req, struct node *parent, const char *name)
{
	struct fs *f = fs_of(req);
	struct fuse_entry_param e;
	struct statx stx;
	struct node *n;
	struct stat st;
	int r = tree_lookup(&f->tree, parent, name, &n, &stx);

	if (r < 0) {
		fs_reply(req, r);
		return;
	}
	tree_attr(&f->tree, &stx, &st);
	fs_entry(f, n, &st, &e);
	(void)fuse_reply_entry(req, &e);
}

static void on_init(void *userdata, struct fuse_conn_info *conn)
{
	const struct fs *f = ((struct door *)userdata)->user;

	conn->max_write = FUSE_GUARD_MAX_DATA;
	/* Attributes that are not believed are not worth fetching with a listing. */
	if (f->cache_s <= 0)
		conn->want &= ~(unsigned)(FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO);
}

static const struct fuse_lowlevel_ops fuse_ops = {
	.init = on_init,
	.lookup = names_lookup,
	.forget = names_forget,
	.forget_multi = names_forget_multi,
	.readlink = names_readlink,
	.mknod = names_mknod,
	.mkdir = names_mkdir,
	.symlink = names_symlink,
	.link = names_link,
	.unlink = names_unlink,
	.rmdir = names_rmdir,
	.rename = names_rename,
	.create = files_create,
	.open = files_open,
	.read = files_read,
	.write = files_write,
	.flush = files_flush,
	.release = files_release,
	.fsync = files_fsync,
	.fallocate = files_fallocate,
	.lseek = files_lseek,
	.copy_file_range = files_copy,
	.opendir = dirs_open,
	.readdir = dirs_read,
	.readdirplus = dirs_read_plus,
	.releasedir = dirs_release,
	.fsyncdir = dirs_fsync,
	.getattr = attrs_get,
	.setattr = attrs_set,
	.access = attrs_access,
	.statfs = attrs_statfs,
	.setxattr = xattrs_set,
	.getxattr = xattrs_get,
	.listxattr = xattrs_list,
	.removexattr = xattrs_remove,
	.getlk = locks_get,
	.setlk = locks_set,
	.flock = locks_flock,
};

static const struct door_ops door_ops = {
	.interrupt = locks_interrupt,
	.tick = locks_tick,
	.go = restore_go,
	.control = control_serve,
};

int fs_init(struct fs *f, struct config *config, int door_fd, size_t max_fds, struct err *err)
{
	auto_fd int fd = door_fd;
	int r;

	*f = (struct fs){ .config = *config, .door = { .fd = -1 }, .tree = { .proc_fd = -1 } };
	*config = (struct config){ .control_fd = -1, .state_fd = -1 };
	f->control_fd = f->config.control_fd;
	f->config.control_fd = -1;
	f->cache_s = f->config.cache_ms / 1000.0;
	f->scratch = malloc(FUSE_GUARD_MAX_DATA);
	r = f->scratch ? 0 : err_errno(err, ENOMEM, "cannot start");
	/* Half of the descriptors are for open files, a quarter for the cache of paths, some for locks. */
	if (r == 0)
		r = handle_table_init(&f->handles, max_fds / 2);
	if (r == 0)
		r = locks_init(&f->locks, max_fds / 16);
	if (r == 0)
		r = tree_init(&f->tree, &f->config, max_fds / 4 < 16384 ? max_fds / 4 : 16384, err);
	if (r == 0)
		r = door_init(&f->door, fd, &fuse_ops, &door_ops, f, err);
	if (r < 0) {
		fs_done(f);
		return r;
	}
	(void)TAKE_FD(fd);
	f->door.control_fd = f->control_fd;
	return 0;
}

void fs_done(struct fs *f)
{
	locks_done(&f->locks, &f->tree.nodes);
	handle_table_done(&f->handles, &f->tree.nodes);
	door_done(&f->door);
	tree_done(&f->tree);
	config_done(&f->config);
	free(f->scratch);
	own_close_p(&f->control_fd);
	*f = (struct fs){ .door = { .fd = -1 }, .control_fd = -1 };
}
