/* SPDX-License-Identifier: Apache-2.0
 *
 * locks: see locks.h.
 */
#include "share/locks.h"

#include <errno.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "share/fdlocks.h"
#include "share/fs.h"

#define FIRST_PAUSE_MS 4
#define LAST_PAUSE_MS 64

struct locks_owner {
	struct locks_owner *next;
	struct node *node; /* ref */
	uint64_t owner;
	pid_t pid;         /* in the guest, of its last lock */
	int fd;            /* owned: holds the locks */
};

/* What is asked for: a flock operation or a range. */
struct want {
	struct handle *h; /* borrowed */
	uint64_t owner;
	bool whole;       /* flock(2) */
	int op;           /* flock(2): LOCK_* without LOCK_NB */
	struct flock range;
};

struct locks_wait {
	struct locks_wait *next;
	fuse_req_t req;
	uint64_t unique, fh;
	struct node *node; /* ref */
	struct want want;  /* want.h is looked up again by fh */
	struct fuse_lk_in asked;
};

_Static_assert(sizeof(struct fuse_lk_in) == FSSTATE_LK_BYTES, "the message of linux/fuse.h that is written down");

int locks_init(struct locks *l, size_t max_owners)
{
	*l = (struct locks){ .max_owners = max_owners < LOCKS_MAX_OWNERS ? max_owners : LOCKS_MAX_OWNERS };
	return 0;
}

/* Unlinks and frees *at. */
static void free_owner(struct locks *l, struct node_table *nodes, struct locks_owner **at)
{
	struct locks_owner *o = *at;

	*at = o->next;
	l->nowners--;
	own_close_p(&o->fd);
	node_unref(nodes, o->node);
	free(o);
	l->now = true; /* somebody may get what was held */
}

static void end_wait(struct locks *l, struct node_table *nodes, struct locks_wait **at, int r)
{
	struct locks_wait *w = *at;

	*at = w->next;
	l->nwaits--;
	node_unref(nodes, w->node);
	fs_reply(w->req, r);
	free(w);
}

void locks_done(struct locks *l, struct node_table *nodes)
{
	while (l->waits)
		end_wait(l, nodes, &l->waits, -EINTR);
	while (l->owners)
		free_owner(l, nodes, &l->owners);
}

void locks_drop_owner(struct locks *l, struct node_table *nodes, struct node *n, uint64_t owner)
{
	for (struct locks_owner **at = &l->owners; *at; at = &(*at)->next)
		if ((*at)->node == n && (*at)->owner == owner) {
			free_owner(l, nodes, at);
			return;
		}
}

void locks_drop_node(struct locks *l, struct node_table *nodes, struct node *n)
{
	for (struct locks_owner **at = &l->owners; *at;)
		if ((*at)->node == n)
			free_owner(l, nodes, at);
		else
			at = &(*at)->next;
	l->now = true; /* a flock ends with its file */
}

static struct locks_owner *find(const struct locks *l, const struct node *n, uint64_t owner)
{
	for (struct locks_owner *o = l->owners; o; o = o->next)
		if (o->node == n && o->owner == owner)
			return o;
	return NULL;
}

/* A lock to write needs a descriptor that may write, one to read one that may read, and a process may want both in
 * turn. Opened through the handle's, so that it is the very file that the guest has open. */
static int open_owner(struct fs *f, const struct handle *h)
{
	int fd = -1;
	char name[16];

	(void)str_format(name, sizeof(name), "%d", h->fd);
	if (!h->node->key.readonly)
		fd = openat(f->tree.proc_fd, name, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		fd = openat(f->tree.proc_fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 && h->writable)
		fd = openat(f->tree.proc_fd, name, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd < 0 ? -ENOLCK : fd;
}

static int owner_of(struct fs *f, const struct want *w, struct locks_owner **ret)
{
	struct locks *l = &f->locks;
	struct locks_owner *o = find(l, w->h->node, w->owner);
	int fd;

	if (!o) {
		if (l->nowners >= l->max_owners)
			return -ENOLCK;
		fd = open_owner(f, w->h);
		o = fd < 0 ? NULL : calloc(1, sizeof(*o));
		if (!o) {
			own_close_p(&fd);
			return -ENOLCK;
		}
		*o = (struct locks_owner){ .next = l->owners, .node = w->h->node, .owner = w->owner, .fd = fd };
		node_ref(o->node);
		l->owners = o;
		l->nowners++;
	}
	*ret = o;
	return 0;
}

/* One try; -EAGAIN where somebody holds what conflicts. */
static int try(struct fs *f, const struct want *w)
{
	struct locks_owner *o;
	struct flock range = w->range;
	int r;

	if (w->h->fd < 0)
		return -ENOLCK;
	if (w->whole) {
		if (flock(w->h->fd, w->op | LOCK_NB) == 0)
			return 0;
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	}
	if (range.l_type == F_UNLCK && !find(&f->locks, w->h->node, w->owner))
		return 0;
	r = owner_of(f, w, &o);
	if (r < 0)
		return r;
	o->pid = range.l_pid;
	range.l_pid = 0;
	if (fcntl(o->fd, F_OFD_SETLK, &range) == 0)
		return 0;
	return errno == EACCES || errno == EAGAIN ? -EAGAIN : -errno;
}

static int enqueue(struct fs *f, fuse_req_t req, uint64_t fh, const struct want *want)
{
	struct locks *l = &f->locks;
	struct locks_wait **at = &l->waits, *w;

	if (l->nwaits >= LOCKS_MAX_WAITS)
		return -ENOLCK;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOLCK;
	*w = (struct locks_wait){ .req = req, .unique = door_unique(req), .fh = fh, .node = want->h->node, .want = *want };
	memcpy(&w->asked, door_args(req), sizeof(w->asked));
	node_ref(w->node);
	while (*at)
		at = &(*at)->next;
	*at = w;
	l->nwaits++;
	l->pause_ms = FIRST_PAUSE_MS;
	l->next_ms = io_now_ms() + FIRST_PAUSE_MS;
	return 0;
}

static void ask(fuse_req_t req, uint64_t fh, const struct want *want, bool wait)
{
	struct fs *f = fs_of(req);
	int r = try(f, want);

	/* Given up, or perhaps made weaker: those who wait try now. */
	if (want->whole ? want->op != LOCK_EX : want->range.l_type != F_WRLCK)
		f->locks.now = true;
	if (r == -EAGAIN && wait) {
		r = enqueue(f, req, fh, want);
		if (r == 0)
			return; /* answered later */
	}
	fs_reply(req, r);
}

void locks_set(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock, int wait)
{
	struct want w = { .h = fs_file(req, ino, fi), .owner = fi->lock_owner, .range = *lock };

	if (w.h)
		ask(req, fi->fh, &w, wait);
}

void locks_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op)
{
	struct want w = { .h = fs_file(req, ino, fi), .whole = true, .op = op & ~LOCK_NB };

	if (w.h)
		ask(req, fi->fh, &w, !(op & LOCK_NB));
}

void locks_get(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock)
{
	struct fs *f = fs_of(req);
	struct handle *h = fs_file(req, ino, fi);
	const struct locks_owner *mine;
	struct flock range = *lock;

	if (!h)
		return;
	mine = find(&f->locks, h->node, fi->lock_owner);
	range.l_pid = 0;
	if (fcntl(mine ? mine->fd : h->fd, F_OFD_GETLK, &range) < 0) {
		fs_reply(req, -errno);
		return;
	}
	/* The host does not say who: another process of the guest where there is one, else 0. */
	range.l_pid = 0;
	for (const struct locks_owner *o = f->locks.owners; range.l_type != F_UNLCK && o; o = o->next)
		if (o != mine && o->node == h->node)
			range.l_pid = o->pid;
	(void)fuse_reply_lock(req, &range);
}

void locks_interrupt(void *user, uint64_t unique)
{
	struct fs *f = user;

	for (struct locks_wait **at = &f->locks.waits; *at; at = &(*at)->next)
		if ((*at)->unique == unique) {
			end_wait(&f->locks, &f->tree.nodes, at, -EINTR);
			return;
		}
}

/* Whether anybody got what it waited for. */
static bool try_all(struct fs *f)
{
	struct locks *l = &f->locks;
	bool got = false;

	for (struct locks_wait **at = &l->waits; *at;) {
		struct locks_wait *w = *at;
		int r = -EBADF;

		w->want.h = handle_get(&f->handles, w->fh, w->node, false);
		if (w->want.h)
			r = try(f, &w->want);
		if (r == -EAGAIN) {
			at = &w->next;
			continue;
		}
		got = true;
		end_wait(l, &f->tree.nodes, at, r);
	}
	return got;
}

int locks_tick(void *user)
{
	struct locks *l = &((struct fs *)user)->locks;
	uint64_t now = l->waits ? io_now_ms() : 0;

	if (l->waits && (l->now || now >= l->next_ms)) {
		bool got = try_all(user);

		l->pause_ms = got || l->now ? FIRST_PAUSE_MS : l->pause_ms * 2;
		if (l->pause_ms > LAST_PAUSE_MS)
			l->pause_ms = LAST_PAUSE_MS;
		l->next_ms = now + (uint64_t)l->pause_ms;
	}
	l->now = false;
	return l->waits ? (int)(l->next_ms - now) : -1;
}

/* The kernel knows what an owner's descriptor holds. */
static int save_owner(struct fs *f, const struct locks_owner *o, struct buf *out, uint32_t *count)
{
	struct fdlocks held;
	int r = fdlocks_read(f->tree.proc_fd, o->fd, &held);

	for (size_t i = 0; r == 0 && i < held.n; i++) {
		const struct fdlock *k = &held.list[i];
		struct fsstate_lock l = { .node = o->node->index, .write = k->write, .pid = o->pid, .owner = o->owner,
					  .first = k->first, .last = k->last };

		if (k->whole)
			continue;
		if (++*count > FSSTATE_MAX_LOCKS)
			r = -EMSGSIZE;
		else
			r = fsstate_put_lock(out, &l);
	}
	fdlocks_done(&held);
	return r;
}

int locks_save(struct fs *f, struct buf *out, uint32_t *ret_nlocks, uint32_t *ret_nwaits)
{
	uint32_t nlocks = 0, nwaits = 0;
	int r = 0;

	for (const struct locks_owner *o = f->locks.owners; r == 0 && o; o = o->next)
		r = save_owner(f, o, out, &nlocks);
	for (const struct locks_wait *w = f->locks.waits; r == 0 && w; w = w->next) {
		struct fsstate_wait s = { .unique = w->unique, .node_id = node_id(w->node) };

		memcpy(s.lk, &w->asked, sizeof(s.lk));
		r = fsstate_put_wait(out, &s);
		nwaits++;
	}
	if (r == 0) {
		*ret_nlocks = nlocks;
		*ret_nwaits = nwaits;
	}
	return r;
}

int locks_take(struct fs *f, struct node *n, const struct fsstate_lock *lock)
{
	struct want w = { .h = n->handles, .owner = lock->owner };

	while (w.h && w.h->fd < 0)
		w.h = w.h->next;
	if (!w.h || w.h->dir)
		return -EBADF;
	w.range = (struct flock){
		.l_type = lock->write ? F_WRLCK : F_RDLCK,
		.l_whence = SEEK_SET,
		.l_start = lock->first,
		.l_len = lock->last == INT64_MAX ? 0 : lock->last - lock->first + 1,
		.l_pid = lock->pid,
	};
	return try(f, &w);
}

int locks_take_flock(struct handle *h, enum fsstate_flock lock)
{
	if (lock == FSSTATE_FLOCK_NONE)
		return 0;
	if (h->fd < 0)
		return -EBADF;
	return flock(h->fd, (lock == FSSTATE_FLOCK_EXCLUSIVE ? LOCK_EX : LOCK_SH) | LOCK_NB) < 0 ? -errno : 0;
}

enum fsstate_flock locks_flock_of(struct fs *f, int fd)
{
	enum fsstate_flock found = FSSTATE_FLOCK_NONE;
	struct fdlocks held;

	if (fdlocks_read(f->tree.proc_fd, fd, &held) < 0)
		return found;
	for (size_t i = 0; i < held.n; i++)
		if (held.list[i].whole)
			found = held.list[i].write ? FSSTATE_FLOCK_EXCLUSIVE : FSSTATE_FLOCK_SHARED;
	fdlocks_done(&held);
	return found;
}
