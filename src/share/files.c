/* SPDX-License-Identifier: Apache-2.0
 *
 * files: see files.h.
 */
#include "share/files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/own.h"
#include "share/fs.h"
#include "share/locks.h"

/* One request must not keep the others waiting for long. */
#define MAX_COPY (16U << 20)

static bool wants_write(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

/* A handle for an open descriptor, which is taken over. */
static int add(struct fs *f, struct node *n, int fd, struct fuse_file_info *fi)
{
	struct handle *h;
	int r = handle_add(&f->handles, n, fd, false, &h);

	if (r < 0)
		return r;
	h->writable = (fi->flags & O_ACCMODE) != O_RDONLY;
	fi->fh = handle_id(h);
	return 0;
}

static int open_node(struct fs *f, struct node *n, struct fuse_file_info *fi)
{
	int fd = -1;

	if (wants_write(fi->flags) && tree_writable(&f->tree, n) < 0)
		return -EROFS;
	if (n != f->tree.nonce) {
		fd = S_ISDIR(n->type) ? -EISDIR : tree_open(&f->tree, n, fi->flags);
		if (fd < 0)
			return fd;
	}
	return add(f, n, fd, fi);
}

void files_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *n = fs_node(req, ino);
	int r;

	if (!n)
		return;
	r = open_node(fs_of(req), n, fi);
	if (r < 0)
		fs_reply(req, r);
	else
		(void)fuse_reply_open(req, fi);
}

/* A file that was created or found, and what it is. */
struct made {
	struct node *node;
	struct statx stx;
};

/* What is there already is opened as any other file. */
static int open_found(struct fs *f, struct node *dir, const char *name, struct fuse_file_info *fi, struct made *ret)
{
	int r = tree_lookup(&f->tree, dir, name, &ret->node, &ret->stx);

	if (r < 0)
		return r;
	r = open_node(f, ret->node, fi);
	if (r < 0)
		tree_drop(&f->tree, ret->node);
	else if (fi->flags & O_TRUNC)
		(void)tree_statx(ret->node->handles->fd, "", &ret->stx);
	return r;
}

static int create(struct fs *f, struct node *dir, const char *name, mode_t mode, struct fuse_file_info *fi,
		  struct made *ret)
{
	int flags = (fi->flags & (O_ACCMODE | O_SYNC)) | O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	auto_fd int fd = -1;
	int r = tree_place(&f->tree, dir, name, S_IFREG);

	if (r == 0)
		r = tree_fd(&f->tree, dir);
	if (r < 0)
		return r;
	fd = openat(r, name, flags, mode & 0777);
	if (fd < 0 && errno == EEXIST && !(fi->flags & O_EXCL))
		return open_found(f, dir, name, fi, ret);
	if (fd < 0)
		return errno == EMFILE ? -ENFILE : -errno;
	r = tree_statx(fd, "", &ret->stx);
	if (r == 0)
		r = tree_enter(&f->tree, dir, name, &ret->stx, &ret->node);
	if (r < 0)
		return r;
	r = add(f, ret->node, TAKE_FD(fd), fi);
	if (r < 0)
		tree_drop(&f->tree, ret->node);
	return r;
}

void files_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct fs *f = fs_of(req);
	struct node *dir = fs_node(req, parent);
	struct fuse_entry_param e;
	struct made m;
	struct stat st;
	int r;

	if (!dir)
		return;
	r = create(f, dir, name, mode, fi, &m);
	if (r < 0) {
		fs_reply(req, r);
		return;
	}
	tree_attr(&f->tree, &m.stx, &st);
	fs_entry(f, m.node, &st, &e);
	(void)fuse_reply_create(req, &e, fi);
}

void files_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct fs *f = fs_of(req);
	struct handle *h = fs_file(req, ino, fi);
	ssize_t n;

	if (!h)
		return;
	if (h->node == f->tree.nonce) {
		size_t len = strlen(f->config.nonce), from = (uint64_t)off < len ? (size_t)off : len;

		(void)fuse_reply_buf(req, f->config.nonce + from, len - from < size ? len - from : size);
		return;
	}
	n = pread(h->fd, f->scratch, size < FUSE_GUARD_MAX_DATA ? size : FUSE_GUARD_MAX_DATA, off);
	if (n < 0)
		fs_reply(req, -errno);
	else
		(void)fuse_reply_buf(req, f->scratch, (size_t)n);
}

void files_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct handle *h = fs_file(req, ino, fi);
	bool append = (fi->flags & O_APPEND) && !fi->writepage;
	size_t done = 0;

	if (!h)
		return;
	while (done < size) {
		struct iovec iov = { .iov_base = (char *)(uintptr_t)bytes + done, .iov_len = size - done };
		ssize_t n = pwritev2(h->fd, &iov, 1, off + (off_t)done, append ? RWF_APPEND : 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && done == 0) {
			fs_reply(req, -errno);
			return;
		}
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	(void)fuse_reply_write(req, done);
}

/* Each close(2) in the guest: POSIX locks of the closing process end, and an error of a late write is told. */
void files_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *f = fs_of(req);
	struct handle *h = fs_closing(req, ino, fi, false);
	int fd, r = 0;

	if (!h)
		return;
	locks_drop_owner(&f->locks, &f->tree.nodes, h->node, fi->lock_owner);
	if (h->writable && h->fd >= 0) {
		fd = fcntl(h->fd, F_DUPFD_CLOEXEC, 0);
		if (fd >= 0 && close(fd) < 0)
			r = -errno;
	}
	fs_reply(req, r);
}

void files_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *f = fs_of(req);
	struct handle *h = fs_closing(req, ino, fi, false);

	if (!h)
		return;
	/* Nobody can hold a lock on a file that nobody has open. */
	if (h->node->handles == h && !h->next)
		locks_drop_node(&f->locks, &f->tree.nodes, h->node);
	handle_close(&f->handles, &f->tree.nodes, h);
	fs_reply(req, 0);
}

void files_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct handle *h = fs_file(req, ino, fi);

	if (!h)
		return;
	if (h->fd < 0)
		fs_reply(req, 0);
	else
		fs_reply(req, (datasync ? fdatasync(h->fd) : fsync(h->fd)) < 0 ? -errno : 0);
}

void files_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	struct handle *h = fs_file(req, ino, fi);

	if (!h)
		return;
	if (!h->writable)
		fs_reply(req, -EBADF);
	else
		fs_reply(req, fallocate(h->fd, mode, off, len) < 0 ? -errno : 0);
}

void files_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	struct handle *h = fs_file(req, ino, fi);
	off_t at;

	if (!h)
		return;
	/* The guest's kernel keeps the position itself and asks for what it cannot know only. */
	if (whence != SEEK_DATA && whence != SEEK_HOLE) {
		fs_reply(req, -EINVAL);
		return;
	}
	at = lseek(h->fd, off, whence);
	if (at < 0)
		fs_reply(req, -errno);
	else
		(void)fuse_reply_lseek(req, at);
}

void files_copy(fuse_req_t req, fuse_ino_t ino_in, off_t off_in, struct fuse_file_info *fi_in, fuse_ino_t ino_out,
		off_t off_out, struct fuse_file_info *fi_out, size_t len, int flags)
{
	struct handle *in = fs_file(req, ino_in, fi_in);
	struct handle *out = in ? fs_file(req, ino_out, fi_out) : NULL;
	ssize_t n;

	if (!out)
		return;
	n = copy_file_range(in->fd, &off_in, out->fd, &off_out, len < MAX_COPY ? len : MAX_COPY, (unsigned)flags);
	if (n < 0)
		fs_reply(req, -errno);
	else
		(void)fuse_reply_write(req, (size_t)n);
}
