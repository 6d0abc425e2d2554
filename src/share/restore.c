/* SPDX-License-Identifier: Apache-2.0
 *
 * restore: see restore.h. The numbers of devices and mounts are not the same after a restart of the host, or even of this
 * program. Those of the roots are learned first, those of other file systems in them from files that are found unchanged.
 */
#include "share/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"

#define MAX_AREAS 256

/* A file system as it was mounted, then and now. */
struct area {
	uint64_t dev, mnt, now_dev, now_mnt;
};

struct restore {
	struct fs *f;
	struct fsstate_head head;
	struct fsstate_reader reader;
	struct area areas[MAX_AREAS];
	size_t nareas;
	struct restore_report report;
};

static int damaged(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, EBADMSG, "the saved state of the files is damaged (%s)", what);
}

static const struct area *find_area(const struct restore *r, const struct fsstate_id *id)
{
	for (size_t i = 0; i < r->nareas; i++)
		if (r->areas[i].dev == id->dev && r->areas[i].mnt == id->mnt)
			return &r->areas[i];
	return NULL;
}

static void learn_area(struct restore *r, const struct fsstate_id *id, const struct node_key *now)
{
	if (r->nareas < MAX_AREAS && !find_area(r, id))
		r->areas[r->nareas++] = (struct area){ id->dev, id->mnt, now->dev, now->mnt };
}

static int restore_roots(struct restore *r, struct err *err)
{
	struct fs *f = r->f;

	if (r->head.nroots != f->config.nroots)
		return err_set(err, ERR_CONFLICT, 0, "the saved state is of %u workspaces, but there are %zu now",
			       r->head.nroots, f->config.nroots);
	for (size_t i = 0; i < f->config.nroots; i++) {
		struct node *n = f->tree.roots[i];
		struct fsstate_root root;
		struct node_key now;
		struct statx stx;
		int fd;

		if (fsstate_get_root(&r->reader, &root) < 0)
			return damaged(err, "a workspace");
		if (root.is_file != S_ISREG(n->type))
			return err_set(err, ERR_CONFLICT, 0, "the workspace %s was a %s when the state was saved",
				       f->config.roots[i].path, root.is_file ? "file" : "directory");
		fd = tree_fd(&f->tree, n);
		if (fd < 0 || tree_statx(fd, "", &stx) < 0)
			return err_set(err, ERR_UNAVAILABLE, ESTALE, "cannot look at the workspace %s", f->config.roots[i].path);
		now = tree_key(&stx, 0, false);
		learn_area(r, &root.id, &now);
	}
	return 0;
}

/* ---- nodes ---- */

static bool same_file(const struct fsstate_id *id, const struct node_key *k)
{
	return id->ino == k->ino && id->birth_s == k->birth_s && id->birth_ns == k->birth_ns;
}

/* By what the file would be known if it were met. */
static struct node_key key_then(const struct restore *r, const struct fsstate_node *s, bool readonly)
{
	const struct area *a = find_area(r, &s->id);

	return (struct node_key){
		.dev = a ? a->now_dev : s->id.dev,
		.mnt = a ? a->now_mnt : s->id.mnt,
		.ino = s->id.ino,
		.birth_s = s->id.birth_s,
		.birth_ns = s->id.birth_ns,
		.root = s->root,
		.readonly = readonly,
	};
}

/* What stands at the node's place now. */
static int look(struct fs *f, struct node *n, struct statx *ret)
{
	int fd = n->parent ? tree_fd(&f->tree, n->parent) : -ESTALE;

	return fd < 0 ? fd : tree_statx(fd, n->name, ret);
}

static void find_file(struct restore *r, struct node *n, const struct fsstate_node *s)
{
	struct tree *t = &r->f->tree;
	bool readonly = n->parent ? n->parent->key.readonly : t->roots[s->root]->key.readonly;
	struct node_key key = key_then(r, s, readonly);
	struct statx stx;
	int e = look(r->f, n, &stx);

	if (e == 0 && (stx.stx_mode & S_IFMT) == s->type) {
		key = tree_key(&stx, s->root, tree_readonly_at(t, n->parent, n->name, &stx));
		if (same_file(&s->id, &key))
			learn_area(r, &s->id, &key);
		else
			r->report.replaced++;
		node_rekey(&t->nodes, n, &key);
		return;
	}
	/* Found by its key all the same: where the guest meets it under another name, it is this one. */
	r->report.gone++;
	node_rekey(&t->nodes, n, &key);
	if (e == 0 || e == -ENOENT)
		node_displace(&t->nodes, n);
}

static int restore_node(struct restore *r, struct err *err)
{
	struct node_table *t = &r->f->tree.nodes;
	struct fsstate_node s;
	struct node *n, *parent;
	int e;

	if (fsstate_get_node(&r->reader, &s) < 0 || s.root >= r->f->config.nroots)
		return damaged(err, "a file");
	parent = s.parent > 0 && s.parent < t->cap ? t->slots[s.parent] : NULL;
	if (s.parent > 0 && (!parent || !S_ISDIR(parent->type) || parent->key.root != s.root))
		return damaged(err, "a file's place");
	e = node_restore(t, s.index, s.gen, s.nlookup, s.type, &n);
	if (e == -EEXIST)
		return damaged(err, "a file's number");
	/* Known to its key's root at least, whatever becomes of it. */
	if (e == 0)
		n->key.root = s.root;
	if (e == 0 && parent)
		e = node_place(t, n, parent, s.name);
	if (e < 0)
		return err_errno(err, -e, "cannot take over what the guest knows");
	find_file(r, n, &s);
	r->report.nodes++;
	return 0;
}

/* A file without a name goes on in memory, where no other program has it either. */
static int make_file(const struct fsstate_content *c)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = c->change_s, .tv_nsec = (long)c->change_ns } };
	auto_fd int fd = memfd_create("removed", MFD_CLOEXEC);

	if (fd < 0 || fchmod(fd, c->mode & 0777) < 0)
		return -errno;
	if (ftruncate(fd, (off_t)c->n) < 0 || io_write_all(fd, c->bytes, (size_t)c->n) < 0)
		return -ENOSPC;
	(void)futimens(fd, times);
	return TAKE_FD(fd);
}

static int restore_content(struct restore *r, struct err *err)
{
	struct node_table *t = &r->f->tree.nodes;
	struct fsstate_content c;
	struct node_key key;
	struct statx stx;
	struct node *n;
	int fd;

	if (fsstate_get_content(&r->reader, &c) < 0)
		return damaged(err, "a content");
	n = c.node < t->cap ? t->slots[c.node] : NULL;
	if (!n || n->fixed || n->parent || n->fd >= 0 || !S_ISREG(n->type))
		return damaged(err, "a content's file");
	fd = make_file(&c);
	if (fd < 0)
		return err_errno(err, -fd, "cannot make a removed file of the guest again");
	/* Not found by its key: nothing on the host is this file. */
	node_unhash(t, n);
	if (tree_statx(fd, "", &stx) == 0) {
		key = tree_key(&stx, n->key.root, n->key.readonly);
		n->key = key;
	}
	node_set_fd(t, n, fd);
	r->report.kept++;
	r->report.gone--;
	return 0;
}

/* ---- open files ---- */

/* Whether the file that is open is not the one, or not as it was. */
static bool has_changed(const struct handle *h, const struct fsstate_handle *then)
{
	struct statx stx;

	return tree_statx(h->fd, "", &stx) < 0 || stx.stx_ctime.tv_sec != then->change_s ||
	       stx.stx_ctime.tv_nsec != then->change_ns || stx.stx_size != then->bytes;
}

static int restore_handle(struct restore *r, struct err *err)
{
	struct fs *f = r->f;
	struct node_table *t = &f->tree.nodes;
	struct fsstate_handle s;
	struct handle *h;
	struct node *n;
	int e;

	if (fsstate_get_handle(&r->reader, &s) < 0)
		return damaged(err, "an open file");
	n = s.node < t->cap ? t->slots[s.node] : NULL;
	if (!n || s.dir != S_ISDIR(n->type))
		return damaged(err, "an open file's node");
	e = handle_restore(&f->handles, s.index, s.gen, n, s.dir, &h);
	if (e == -EEXIST)
		return damaged(err, "an open file's number");
	if (e < 0)
		return err_errno(err, -e, "cannot take over what the guest has open");
	r->report.handles++;
	h->writable = (s.flags & O_ACCMODE) != O_RDONLY;
	h->flags = (int)s.flags;
	if (tree_made_up(&f->tree, n))
		return 0;
	h->lost = true;
	if (fs_reopen(f, h) < 0)
		r->report.lost_handles++;
	else
		h->stale = !h->dir && (n->parent || n->fixed) && has_changed(h, &s);
	r->report.stale_handles += h->stale;
	if (s.lock != FSSTATE_FLOCK_NONE)
		r->report.locks++;
	if (locks_take_flock(h, s.lock) < 0)
		r->report.lost_locks++;
	return 0;
}

static int restore_lock(struct restore *r, struct err *err)
{
	struct node_table *t = &r->f->tree.nodes;
	struct fsstate_lock s;

	if (fsstate_get_lock(&r->reader, &s) < 0 || s.node >= t->cap || !t->slots[s.node])
		return damaged(err, "a lock");
	r->report.locks++;
	if (locks_take(r->f, t->slots[s.node], &s) < 0)
		r->report.lost_locks++;
	return 0;
}

/* The request comes again: it is answered at once, or waits. */
static int restore_wait(struct restore *r, struct err *err)
{
	struct {
		struct fuse_in_header head;
		uint8_t lk[FSSTATE_LK_BYTES];
	} frame = { .head = { .len = sizeof(frame), .opcode = FUSE_SETLKW } };
	struct fsstate_wait s;

	if (fsstate_get_wait(&r->reader, &s) < 0 || s.unique == 0)
		return damaged(err, "a lock that is waited for");
	frame.head.unique = s.unique;
	frame.head.nodeid = s.node_id;
	memcpy(frame.lk, s.lk, sizeof(frame.lk));
	r->report.waits++;
	return door_replay(&r->f->door, &frame, sizeof(frame), err);
}

void restore_go(void *user)
{
	struct fs *f = user;
	size_t told = 0;

	for (size_t i = 0; i < f->handles.cap && told < RESTORE_MAX_TOLD; i++) {
		struct handle *h = f->handles.slots[i];

		if (!h || !h->stale)
			continue;
		door_tell_old(&f->door, node_id(h->node));
		told++;
		for (struct handle *same = h->node->handles; same; same = same->next)
			same->stale = false;
	}
}

static int each(struct restore *r, uint32_t n, int (*one)(struct restore *, struct err *), struct err *err)
{
	int e = 0;

	for (uint32_t i = 0; e == 0 && i < n; i++)
		e = one(r, err);
	return e;
}

static int restore_all(struct restore *r, struct err *err)
{
	int e = restore_roots(r, err);

	if (e == 0)
		e = each(r, r->head.nnodes, restore_node, err);
	if (e == 0)
		e = each(r, r->head.ncontents, restore_content, err);
	if (e == 0)
		e = each(r, r->head.nhandles, restore_handle, err);
	if (e == 0)
		e = each(r, r->head.nlocks, restore_lock, err);
	if (e < 0)
		return e;
	node_restored(&r->f->tree.nodes, r->head.node_gen);
	handle_restored(&r->f->handles, r->head.handle_gen);
	e = door_agree(&r->f->door, r->head.offer, r->head.agreed, err);
	return e == 0 ? each(r, r->head.nwaits, restore_wait, err) : e;
}

/* From the beginning, whatever the position of the descriptor, which others may share. */
static int read_all(int fd, struct buf *out)
{
	struct stat st;
	size_t want;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < 0 || (uint64_t)st.st_size > out->max)
		return -EMSGSIZE;
	want = (size_t)st.st_size;
	while (buf_len(out) < want) {
		size_t left = want - buf_len(out);
		uint8_t *at = buf_reserve(out, left);
		ssize_t n = at ? pread(fd, at, left, (off_t)buf_len(out)) : -1;

		if (!at)
			return -ENOMEM;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EBADMSG;
		buf_commit(out, (size_t)n);
	}
	return 0;
}

int restore_state(struct fs *f, int fd, struct restore_report *ret, struct err *err)
{
	auto_free struct restore *r = calloc(1, sizeof(*r));
	struct buf bytes;
	int e;

	if (!r)
		return err_errno(err, ENOMEM, "cannot read the saved state of the files");
	r->f = f;
	buf_init(&bytes, FSSTATE_MAX_BYTES);
	e = read_all(fd, &bytes);
	if (e == 0)
		e = fsstate_open(buf_bytes(&bytes), buf_len(&bytes), &r->head, &r->reader);
	if (e == -EPROTONOSUPPORT)
		e = err_set(err, ERR_CONFLICT, -e, "the saved state of the files is of another version of sbx");
	else if (e == -EBADMSG)
		e = damaged(err, "checksum");
	else if (e < 0)
		e = err_errno(err, -e, "cannot read the saved state of the files");
	else
		e = restore_all(r, err);
	buf_done(&bytes);
	if (e == 0)
		*ret = r->report;
	return e;
}
