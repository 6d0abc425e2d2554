/* SPDX-License-Identifier: Apache-2.0
 *
 * names: see names.h.
 */
#include "share/names.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "base/str.h"
#include "share/fs.h"

static void lookup_made_up(fuse_req_t req, const char *name)
{
	struct fs *f = fs_of(req);
	struct node *n = str_eq(name, ".nonce") ? f->tree.nonce : tree_root(&f->tree, name);
	struct fuse_entry_param e;
	struct stat st;
	int r = n ? tree_stat(&f->tree, n, &st) : -ENOENT;

	if (r < 0) {
		fs_reply(req, r);
		return;
	}
	fs_entry(f, n, &st, &e);
	(void)fuse_reply_entry(req, &e);
}

void names_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct node *dir = fs_node(req, parent);

	if (!dir)
		return;
	if (dir == fs_of(req)->tree.top)
		lookup_made_up(req, name);
	else
		fs_reply_entry(req, dir, name);
}

static void forget(struct fs *f, fuse_ino_t ino, uint64_t nlookup)
{
	struct node *n = node_get(&f->tree.nodes, ino);

	if (n)
		node_forget(&f->tree.nodes, n, nlookup);
}

void names_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	forget(fs_of(req), ino, nlookup);
	fuse_reply_none(req);
}

void names_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		forget(fs_of(req), forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

void names_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct node *n = fs_node(req, ino);
	char target[PATH_MAX + 1];
	ssize_t len;
	int fd;

	if (!n)
		return;
	fd = S_ISLNK(n->type) ? tree_fd(&fs_of(req)->tree, n) : -EINVAL;
	if (fd < 0) {
		fs_reply(req, fd);
		return;
	}
	len = readlinkat(fd, "", target, sizeof(target) - 1);
	if (len < 0) {
		fs_reply(req, -errno);
		return;
	}
	target[len] = 0;
	(void)fuse_reply_readlink(req, target);
}

/* The descriptor of a directory in which name may be made; the request is answered where there is none. */
static int place_for(fuse_req_t req, struct node *dir, const char *name, mode_t type)
{
	struct fs *f = fs_of(req);
	int r = tree_place(&f->tree, dir, name, type);

	if (r == 0)
		r = tree_fd(&f->tree, dir);
	if (r < 0)
		fs_reply(req, r);
	return r;
}

static void made(fuse_req_t req, struct node *dir, const char *name, int r)
{
	if (r < 0)
		fs_reply(req, -errno);
	else
		fs_reply_entry(req, dir, name);
}

void names_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct node *dir = fs_node(req, parent);
	mode_t type = mode & S_IFMT;
	int fd = dir ? place_for(req, dir, name, type) : -1;

	if (fd < 0)
		return;
	if (type != S_IFREG && type != S_IFIFO && type != S_IFSOCK && type != 0)
		fs_reply(req, -EPERM);
	else
		made(req, dir, name, mknodat(fd, name, type | (mode & 0777), 0));
}

void names_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct node *dir = fs_node(req, parent);
	int fd = dir ? place_for(req, dir, name, S_IFDIR) : -1;

	if (fd >= 0)
		made(req, dir, name, mkdirat(fd, name, mode & 01777));
}

void names_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct node *dir = fs_node(req, parent);
	int fd = dir ? place_for(req, dir, name, S_IFLNK) : -1;

	if (fd >= 0)
		made(req, dir, name, symlinkat(target, fd, name));
}

/* A link is made through /proc/self/fd, which leads to the very file and follows nothing further. */
void names_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct fs *f = fs_of(req);
	struct node *n = fs_node(req, ino);
	struct node *dir = n ? fs_node(req, parent) : NULL;
	char from[16];
	auto_fd int held = -1;
	int fd, r;

	if (!dir)
		return;
	r = tree_writable(&f->tree, n);
	if (r == 0 && S_ISDIR(n->type))
		r = -EPERM;
	if (r == 0)
		r = held = tree_dup(&f->tree, n);
	if (r < 0) {
		fs_reply(req, r);
		return;
	}
	(void)str_format(from, sizeof(from), "%d", held);
	fd = place_for(req, dir, name, n->type);
	if (fd >= 0)
		made(req, dir, name, linkat(f->tree.proc_fd, from, fd, name, AT_SYMLINK_FOLLOW));
}

static void drop_name(fuse_req_t req, fuse_ino_t parent, const char *name, int flags)
{
	struct fs *f = fs_of(req);
	struct node *dir = fs_node(req, parent);
	struct node *known;
	int r;

	if (!dir)
		return;
	r = S_ISDIR(dir->type) ? tree_leave(&f->tree, dir, name, true, &known) : -ENOTDIR;
	if (r == 0) {
		r = tree_fd(&f->tree, dir);
		if (r >= 0)
			r = unlinkat(r, name, flags) < 0 ? -errno : 0;
		if (r == 0 && known)
			node_displace(&f->tree.nodes, known);
	}
	fs_reply(req, r);
}

void names_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	drop_name(req, parent, name, 0);
}

void names_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	drop_name(req, parent, name, AT_REMOVEDIR);
}

struct move {
	struct node *from, *to;        /* directories */
	const char *name, *new_name;
	struct node *moved, *replaced; /* what the guest knows of them */
	unsigned flags;
};

static int move_check(struct fs *f, struct move *m)
{
	int r;

	if (m->flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	if (!S_ISDIR(m->from->type) || !S_ISDIR(m->to->type))
		return -ENOTDIR;
	if (m->from == f->tree.top || m->to == f->tree.top)
		return -EROFS;
	r = tree_leave(&f->tree, m->from, m->name, true, &m->moved);
	if (r == 0)
		r = tree_leave(&f->tree, m->to, m->new_name, true, &m->replaced);
	return r;
}

/* The table after the host has renamed. */
static int move_note(struct fs *f, const struct move *m)
{
	struct node_table *t = &f->tree.nodes;
	int r = 0;

	if (m->moved == m->replaced && m->moved)
		return 0; /* two links of one file: nothing happened */
	if (m->replaced && !(m->flags & RENAME_EXCHANGE))
		node_displace(t, m->replaced);
	else if (m->replaced)
		r = node_place(t, m->replaced, m->from, m->name);
	if (m->moved && r == 0)
		r = node_place(t, m->moved, m->to, m->new_name);
	return r;
}

void names_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
		  unsigned int flags)
{
	struct fs *f = fs_of(req);
	struct move m = { .name = name, .new_name = new_name, .flags = flags };
	auto_fd int from = -1;
	int r, to;

	m.from = fs_node(req, parent);
	m.to = m.from ? fs_node(req, new_parent) : NULL;
	if (!m.to)
		return;
	r = move_check(f, &m);
	if (r == 0)
		r = from = tree_dup(&f->tree, m.from);
	if (r >= 0) {
		to = tree_fd(&f->tree, m.to);
		r = to < 0 ? to : renameat2(from, name, to, new_name, flags) < 0 ? -errno : move_note(f, &m);
	}
	fs_reply(req, r);
}
