/* SPDX-License-Identifier: Apache-2.0
 *
 * tree: see tree.h.
 */
#include "share/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "base/own.h"
#include "base/str.h"
#include "share/handle.h"

/* Inode numbers of what is made up lie where no host file system puts its own. */
#define MADE_UP_INO 0xfff0000000000000U
#define STATX_WANTED (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID)

uint64_t tree_dev(const struct statx *stx)
{
	return makedev(stx->stx_dev_major, stx->stx_dev_minor);
}

static int fixed(struct tree *t, mode_t type, uint16_t root, bool readonly, struct node **ret)
{
	struct node_key key = { .root = root, .readonly = readonly };

	return node_add(&t->nodes, &key, type, true, ret);
}

static int add_roots(struct tree *t)
{
	int r = fixed(t, S_IFDIR, UINT16_MAX, true, &t->top);

	if (r == 0)
		r = fixed(t, S_IFREG, UINT16_MAX, true, &t->nonce);
	for (size_t i = 0; r == 0 && i < t->config->nroots; i++) {
		struct config_root *c = &t->config->roots[i];
		struct statx stx;

		r = tree_statx(c->fd, "", &stx);
		if (r < 0)
			break;
		r = fixed(t, c->is_file ? S_IFREG : S_IFDIR, (uint16_t)i,
			  c->readonly || protect_has(&t->protect, (struct protect_id){ tree_dev(&stx), stx.stx_ino }),
			  &t->roots[i]);
		if (r < 0)
			break;
		t->roots[i]->key.dev = tree_dev(&stx);
		t->roots[i]->key.ino = stx.stx_ino;
		t->roots[i]->fd = TAKE_FD(c->fd);
	}
	return r;
}

int tree_init(struct tree *t, struct config *config, size_t max_fds, struct err *err)
{
	struct timespec now;
	int r;

	*t = (struct tree){ .config = config, .proc_fd = -1 };
	(void)clock_gettime(CLOCK_REALTIME, &now);
	t->start_s = now.tv_sec;
	r = protect_init(&t->protect, config, err);
	if (r < 0)
		return r;
	t->proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (t->proc_fd < 0)
		r = err_errno(err, errno, "/proc is not mounted here");
	if (r == 0) {
		r = node_table_init(&t->nodes, TREE_MAX_NODES, max_fds);
		if (r == 0)
			r = add_roots(t);
		if (r < 0)
			(void)err_errno(err, -r, "cannot set up the roots");
	}
	if (r < 0)
		tree_done(t);
	return r;
}

void tree_done(struct tree *t)
{
	if (t->nodes.slots)
		node_table_done(&t->nodes);
	protect_done(&t->protect);
	own_close_p(&t->proc_fd);
}

struct node *tree_root(const struct tree *t, const char *name)
{
	char text[24];

	for (size_t i = 0; i < t->config->nroots; i++) {
		(void)str_format(text, sizeof(text), "%zu", i);
		if (str_eq(text, name))
			return t->roots[i];
	}
	return NULL;
}

int tree_writable(const struct tree *t, const struct node *n)
{
	return n->key.readonly ? -EROFS : 0;
}

int tree_statx(int fd, const char *name, struct statx *ret)
{
	int flags = AT_SYMLINK_NOFOLLOW | AT_STATX_SYNC_AS_STAT | (name[0] ? 0 : AT_EMPTY_PATH);

	return statx(fd, name, flags, STATX_WANTED, ret) < 0 ? -errno : 0;
}

static struct protect_id id_of(const struct statx *stx)
{
	return (struct protect_id){ tree_dev(stx), stx->stx_ino };
}

struct node_key tree_key(const struct statx *stx, uint16_t root, bool readonly)
{
	struct node_key k = { .dev = tree_dev(stx), .ino = stx->stx_ino, .root = root, .readonly = readonly };

	if (stx->stx_mask & STATX_MNT_ID)
		k.mnt = stx->stx_mnt_id;
	if (stx->stx_mask & STATX_BTIME) {
		k.birth_s = stx->stx_btime.tv_sec;
		k.birth_ns = stx->stx_btime.tv_nsec;
	}
	return k;
}

/* One step down. The name is one component that the guard has seen; RESOLVE_* make the kernel agree. */
static int step(struct tree *t, int dirfd, const char *name)
{
	struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, dirfd, name, &how, sizeof(how));

	if (fd < 0 && (errno == EMFILE || errno == ENFILE) && t->nodes.nfds > 1) {
		/* The directory's own descriptor is the newest and stays. */
		node_evict(&t->nodes, t->nodes.nfds > 64 ? t->nodes.nfds - 64 : 1);
		fd = syscall(SYS_openat2, dirfd, name, &how, sizeof(how));
	}
	if (fd < 0)
		return errno == EMFILE ? -ENFILE : -errno;
	return (int)fd;
}

/* Opens a node below a parent that has a descriptor, and makes sure that it is still the same file. */
static int reopen(struct tree *t, struct node *n, int parent_fd)
{
	auto_fd int fd = step(t, parent_fd, n->name);
	struct statx stx;
	struct node_key k;
	int r;

	if (fd < 0)
		return fd == -ENFILE ? fd : -ESTALE;
	r = tree_statx(fd, "", &stx);
	if (r < 0)
		return r;
	k = tree_key(&stx, n->key.root, n->key.readonly);
	if (k.dev != n->key.dev || k.ino != n->key.ino || k.birth_s != n->key.birth_s ||
	    k.birth_ns != n->key.birth_ns || (stx.stx_mode & S_IFMT) != n->type)
		return -ESTALE;
	node_set_fd(&t->nodes, n, TAKE_FD(fd));
	return n->fd;
}

/* What is open of a node without climbing: its own descriptor, or that of a handle. */
static int at_hand(const struct node *n)
{
	const struct handle *h = n->handles;

	if (n->fd >= 0)
		return n->fd;
	while (h && h->fd < 0)
		h = h->next;
	return h ? h->fd : -1;
}

/* A single file follows its name: the host's editors replace files. What is gone stays as it last was. */
static int follow_file(struct tree *t, struct node *n)
{
	const struct config_root *c = &t->config->roots[n->key.root];
	auto_fd int fd = step(t, c->parent_fd, c->name);
	struct statx stx;

	if (fd < 0 || tree_statx(fd, "", &stx) < 0 || !S_ISREG(stx.stx_mode))
		return n->fd;
	if (tree_dev(&stx) != n->key.dev || stx.stx_ino != n->key.ino) {
		n->key.dev = tree_dev(&stx);
		n->key.ino = stx.stx_ino;
		own_close_p(&n->fd);
		n->fd = TAKE_FD(fd);
	}
	return n->fd;
}

int tree_fd(struct tree *t, struct node *n)
{
	int fd;

	if (tree_made_up(t, n))
		return -EPERM;
	if (n->fixed && S_ISREG(n->type))
		return follow_file(t, n);
	/* From the nearest ancestor that is open, one step at a time. */
	while ((fd = at_hand(n)) < 0) {
		struct node *next = n;

		while (next->parent && at_hand(next->parent) < 0)
			next = next->parent;
		if (!next->parent)
			return -ESTALE;
		node_touch(&t->nodes, next->parent);
		fd = reopen(t, next, at_hand(next->parent));
		if (fd < 0)
			return fd;
	}
	node_touch(&t->nodes, n);
	return fd;
}

int tree_dup(struct tree *t, struct node *n)
{
	int fd = tree_fd(t, n);

	if (fd < 0)
		return fd;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? (errno == EMFILE ? -ENFILE : -errno) : fd;
}

int tree_open(struct tree *t, struct node *n, int flags)
{
	int fd = tree_fd(t, n), opened;
	char name[16];

	if (fd < 0)
		return fd;
	if (S_ISDIR(n->type))
		opened = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	else if (S_ISREG(n->type) && str_format(name, sizeof(name), "%d", fd) == 0)
		opened = openat(t->proc_fd, name,
				(flags & (O_ACCMODE | O_TRUNC | O_SYNC)) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	else
		return S_ISLNK(n->type) ? -ELOOP : -ENXIO;
	if (opened < 0)
		return errno == EMFILE ? -ENFILE : -errno;
	return opened;
}

bool tree_readonly_at(const struct tree *t, const struct node *parent, const char *name, const struct statx *stx)
{
	return parent->key.readonly || protect_has(&t->protect, id_of(stx)) ||
	       protect_has_place(&t->protect, parent, name);
}

int tree_enter(struct tree *t, struct node *parent, const char *name, const struct statx *stx, struct node **ret)
{
	bool readonly = tree_readonly_at(t, parent, name, stx);
	struct node_key key = tree_key(stx, parent->key.root, readonly);
	struct node *n = node_find(&t->nodes, &key);
	int r;

	/* Where the file system has no birth times, an inode number can come back as another kind of file. */
	if (n && n->type != (stx->stx_mode & S_IFMT)) {
		node_unhash(&t->nodes, n);
		n = NULL;
	}
	if (!n) {
		r = node_add(&t->nodes, &key, stx->stx_mode & S_IFMT, false, &n);
		if (r < 0)
			return r;
	}
	r = node_place(&t->nodes, n, parent, name);
	if (r < 0) {
		tree_drop(t, n);
		return r;
	}
	*ret = n;
	return 0;
}

void tree_drop(struct tree *t, struct node *n)
{
	node_forget(&t->nodes, n, 0);
}

int tree_lookup(struct tree *t, struct node *parent, const char *name, struct node **ret, struct statx *ret_stx)
{
	int fd, r;

	if (!S_ISDIR(parent->type))
		return -ENOTDIR;
	fd = tree_fd(t, parent);
	if (fd < 0)
		return fd;
	r = tree_statx(fd, name, ret_stx);
	return r < 0 ? r : tree_enter(t, parent, name, ret_stx, ret);
}

/* Programs tell hard links by (device, inode); the guest sees one device, so other devices' numbers are set apart. */
uint64_t tree_ino(struct tree *t, uint64_t dev, uint64_t ino)
{
	size_t i = 0;

	while (i < t->ndevs && t->devs[i] != dev)
		i++;
	if (i == t->ndevs && t->ndevs < TREE_MAX_DEVS)
		t->devs[t->ndevs++] = dev;
	return ino ^ (uint64_t)(i & 0xff) << 56;
}

static struct timespec time_of(struct statx_timestamp ts)
{
	return (struct timespec){ .tv_sec = ts.tv_sec, .tv_nsec = (long)ts.tv_nsec };
}

void tree_attr(struct tree *t, const struct statx *stx, struct stat *ret)
{
	*ret = (struct stat){
		.st_ino = tree_ino(t, tree_dev(stx), stx->stx_ino),
		.st_mode = stx->stx_mode,
		.st_nlink = stx->stx_nlink,
		.st_uid = TREE_UID,
		.st_gid = TREE_GID,
		.st_rdev = makedev(stx->stx_rdev_major, stx->stx_rdev_minor),
		.st_size = (off_t)stx->stx_size,
		.st_blksize = (blksize_t)stx->stx_blksize,
		.st_blocks = (blkcnt_t)stx->stx_blocks,
		.st_atim = time_of(stx->stx_atime),
		.st_mtim = time_of(stx->stx_mtime),
		.st_ctim = time_of(stx->stx_ctime),
	};
}

static void attr_made_up(const struct tree *t, const struct node *n, struct stat *ret)
{
	struct timespec then = { .tv_sec = t->start_s };
	bool dir = S_ISDIR(n->type);

	*ret = (struct stat){
		.st_ino = MADE_UP_INO + n->index,
		.st_mode = n->type | (dir ? 0555 : 0444),
		.st_nlink = dir ? 2 : 1,
		.st_uid = TREE_UID,
		.st_gid = TREE_GID,
		.st_size = dir ? 0 : (off_t)strlen(t->config->nonce),
		.st_blksize = 4096,
		.st_atim = then,
		.st_mtim = then,
		.st_ctim = then,
	};
}

int tree_stat(struct tree *t, struct node *n, struct stat *ret)
{
	struct statx stx;
	int fd, r;

	if (tree_made_up(t, n)) {
		attr_made_up(t, n, ret);
		return 0;
	}
	fd = tree_fd(t, n);
	if (fd < 0)
		return fd;
	r = tree_statx(fd, "", &stx);
	if (r == 0)
		tree_attr(t, &stx, ret);
	return r;
}

int tree_place(const struct tree *t, const struct node *dir, const char *name, mode_t type)
{
	if (dir->key.readonly)
		return -EROFS;
	if (!S_ISDIR(dir->type))
		return -ENOTDIR;
	/* On the way to a protected path only directories: a symlink there would lead the host somewhere else. */
	if (protect_has_place(&t->protect, dir, name) ||
	    (!S_ISDIR(type) && protect_above_place(&t->protect, dir, name)))
		return -EROFS;
	return 0;
}

int tree_leave(struct tree *t, struct node *parent, const char *name, bool moves, struct node **ret_known)
{
	int fd = tree_fd(t, parent), r;
	struct statx stx;
	struct node_key key;
	struct node *n;

	if (ret_known)
		*ret_known = NULL;
	if (fd < 0)
		return fd;
	if (parent->key.readonly || protect_has_place(&t->protect, parent, name) ||
	    (moves && protect_above_place(&t->protect, parent, name)))
		return -EROFS;
	r = tree_statx(fd, name, &stx);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (protect_has(&t->protect, id_of(&stx)) || (moves && protect_above(&t->protect, id_of(&stx))))
		return -EROFS;
	key = tree_key(&stx, parent->key.root, false);
	n = node_find(&t->nodes, &key);
	if (n && node_is_at(n, parent, name)) {
		if (at_hand(n) < 0)
			(void)reopen(t, n, fd);
		if (ret_known)
			*ret_known = n;
	}
	return 0;
}
