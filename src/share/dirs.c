/* SPDX-License-Identifier: Apache-2.0
 *
 * dirs: see dirs.h.
 */
#include "share/dirs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "base/str.h"
#include "share/fs.h"

/* Most bytes of one getdents64. */
#define CHUNK 32768U

/* One answer under way. */
struct listing {
	fuse_req_t req;
	struct fs *fs;
	struct node *dir;
	char *out;
	size_t size, used;
	bool plus;
};

void dirs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *f = fs_of(req);
	struct node *n = fs_node(req, ino);
	struct handle *h;
	int fd = -1, r = 0;

	if (!n)
		return;
	if (!S_ISDIR(n->type))
		r = -ENOTDIR;
	else if (n != f->tree.top)
		r = fd = tree_open(&f->tree, n, O_RDONLY | O_DIRECTORY);
	if (r >= 0)
		r = handle_add(&f->handles, n, fd, true, &h);
	if (r < 0) {
		fs_reply(req, r);
		return;
	}
	fi->fh = handle_id(h);
	(void)fuse_reply_open(req, fi);
}

/* An entry with its attributes. One that cannot be looked up goes without, and the guest asks when it needs them. */
static size_t put_plus(struct listing *l, const char *name, const struct stat *st, off_t next)
{
	size_t room = l->size - l->used;
	struct fuse_entry_param e = { .attr = *st };
	size_t need = fuse_add_direntry_plus(l->req, NULL, 0, name, &e, next);
	struct statx stx;
	struct node *n;
	struct stat full;
	bool dots = str_eq(name, ".") || str_eq(name, "..");

	if (need > room)
		return need;
	if (!dots && tree_lookup(&l->fs->tree, l->dir, name, &n, &stx) == 0) {
		tree_attr(&l->fs->tree, &stx, &full);
		fs_entry(l->fs, n, &full, &e);
	}
	return fuse_add_direntry_plus(l->req, l->out + l->used, room, name, &e, next);
}

/* False where the answer is full. */
static bool put(struct listing *l, const char *name, const struct stat *st, off_t next)
{
	size_t n = l->plus ? put_plus(l, name, st, next)
			   : fuse_add_direntry(l->req, l->out + l->used, l->size - l->used, name, st, next);

	if (n > l->size - l->used)
		return false;
	l->used += n;
	return true;
}

/* The made-up directory: offset i leads to its i-th entry. */
static void list_top(struct listing *l, off_t off)
{
	const struct tree *t = &l->fs->tree;
	char name[24];

	for (off_t i = off; i >= 0 && i < (off_t)t->config->nroots + 3; i++) {
		struct stat st = { .st_mode = S_IFDIR, .st_ino = 1 };

		if (i < 3) {
			(void)str_format(name, sizeof(name), "%s", i == 0 ? "." : i == 1 ? ".." : ".nonce");
			st.st_mode = i == 2 ? S_IFREG : S_IFDIR;
		} else {
			(void)str_format(name, sizeof(name), "%d", (int)i - 3);
			st.st_mode = t->roots[i - 3]->type;
		}
		/* Attributes of these come by lookup. */
		if (!put(l, name, &st, i + 1))
			return;
	}
}

/* What one getdents64 gave; false where the answer is full. */
static bool take_chunk(struct listing *l, struct handle *h, const char *chunk, size_t n)
{
	for (size_t at = 0; at < n;) {
		const struct dirent64 *d = (const struct dirent64 *)(const void *)(chunk + at);
		struct stat st = {
			.st_ino = tree_ino(&l->fs->tree, l->dir->key.dev, d->d_ino),
			.st_mode = (mode_t)d->d_type << 12,
		};

		if (!put(l, d->d_name, &st, d->d_off))
			return false;
		h->pos = d->d_off;
		at += d->d_reclen;
	}
	return true;
}

static int list_host(struct listing *l, struct handle *h, off_t off)
{
	_Alignas(8) char chunk[CHUNK];

	if (h->pos != off && lseek(h->fd, off, SEEK_SET) < 0)
		return -errno;
	h->pos = off;
	for (;;) {
		size_t want = l->size - l->used < CHUNK ? l->size - l->used : CHUNK;
		ssize_t n = want < 280 && l->used > 0 ? 0 : getdents64(h->fd, chunk, want < 280 ? 280 : want);

		if (n < 0)
			return l->used > 0 ? 0 : -errno;
		if (n == 0)
			return 0;
		if (!take_chunk(l, h, chunk, (size_t)n)) {
			/* The host is further than the guest: next time from where the guest is. */
			h->pos = -1;
			return 0;
		}
	}
}

static void list(fuse_req_t req, struct handle *h, size_t size, off_t off, bool plus)
{
	struct fs *f = fs_of(req);
	struct listing l = { .req = req, .fs = f, .dir = h->node, .out = f->scratch, .plus = plus };
	int r = 0;

	l.size = size < FUSE_GUARD_MAX_DATA ? size : FUSE_GUARD_MAX_DATA;
	if (h->fd < 0)
		list_top(&l, off);
	else
		r = list_host(&l, h, off);
	if (r < 0)
		fs_reply(req, r);
	else
		(void)fuse_reply_buf(req, l.out, l.used);
}

void dirs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct handle *h = fs_dir(req, ino, fi);

	if (h)
		list(req, h, size, off, false);
}

void dirs_read_plus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct handle *h = fs_dir(req, ino, fi);

	if (h)
		list(req, h, size, off, true);
}

void dirs_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *f = fs_of(req);
	struct handle *h = fs_closing(req, ino, fi, true);

	if (!h)
		return;
	handle_close(&f->handles, &f->tree.nodes, h);
	fs_reply(req, 0);
}

void dirs_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct handle *h = fs_dir(req, ino, fi);

	if (!h)
		return;
	if (h->fd < 0)
		fs_reply(req, 0);
	else
		fs_reply(req, (datasync ? fdatasync(h->fd) : fsync(h->fd)) < 0 ? -errno : 0);
}
