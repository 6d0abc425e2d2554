/* SPDX-License-Identifier: Apache-2.0
 *
 * tree: the guest's nodes over the host's files. Every step on the host goes from the descriptor of a directory that
 * lies below a root to one component in it, and never follows a symbolic link; mount points of the host inside a root
 * are crossed, because what the user sees in the folder is what is shared. An O_PATH descriptor is opened for reading
 * or writing only when fstat said that it is a regular file or a directory, through /proc/self/fd.
 *
 * Everything is shown as owned by TREE_UID and TREE_GID.
 */
#ifndef SBX_SHARE_TREE_H
#define SBX_SHARE_TREE_H

#include <sys/stat.h>

#include "share/config.h"
#include "share/node.h"
#include "share/protect.h"

#define TREE_UID 1000
#define TREE_GID 1000
#define TREE_MAX_NODES (1U << 21)
#define TREE_MAX_DEVS 255

struct tree {
	struct node_table nodes;
	struct protect protect;
	struct config *config; /* borrowed; its roots' descriptors are kept here */
	struct node *top;      /* the made-up directory, nodeid 1 */
	struct node *nonce;    /* its file `.nonce` */
	struct node *roots[CONFIG_MAX_ROOTS];
	int proc_fd;           /* owned: /proc/self/fd */
	uint64_t devs[TREE_MAX_DEVS];
	size_t ndevs;
	int64_t start_s;       /* the times of what is made up */
};

/* config stays the caller's and must outlive the tree. */
int tree_init(struct tree *t, struct config *config, size_t max_fds, struct err *err);
void tree_done(struct tree *t);

/* The node of a root whose index is written in decimal; NULL where there is none. */
struct node *tree_root(const struct tree *t, const char *name);
/* Made up here: has no file on the host. */
static inline bool tree_made_up(const struct tree *t, const struct node *n)
{
	return n == t->top || n == t->nonce;
}
/* 0, or -EROFS for what may not be changed. */
int tree_writable(const struct tree *t, const struct node *n);

/* A descriptor for the node, O_PATH or open; borrowed until the next call on the tree. -ESTALE: the host moved or
 * removed it. -ENFILE: too many descriptors. */
int tree_fd(struct tree *t, struct node *n);
/* A descriptor that stays valid (owned): as tree_fd, duplicated. For operations on two nodes. */
int tree_dup(struct tree *t, struct node *n);
/* The node's file opened with flags (O_ACCMODE, O_TRUNC, O_SYNC, O_DIRECTORY); owned. Only regular files and directories. */
int tree_open(struct tree *t, struct node *n, int flags);

/* What stands at name in the directory; *ret_stx is of it. The node's lookups are not counted yet: the caller adds
 * to nlookup, or gives it back by tree_drop. */
int tree_lookup(struct tree *t, struct node *parent, const char *name, struct node **ret, struct statx *ret_stx);
/* As tree_lookup for a file that is known by its statx (taken through a descriptor). */
int tree_enter(struct tree *t, struct node *parent, const char *name, const struct statx *stx, struct node **ret);
void tree_drop(struct tree *t, struct node *n);

/* How a file is known, by its statx. */
uint64_t tree_dev(const struct statx *stx);
struct node_key tree_key(const struct statx *stx, uint16_t root, bool readonly);
/* Whether what stands there is read-only. */
bool tree_readonly_at(const struct tree *t, const struct node *parent, const char *name, const struct statx *stx);

/* The attributes of the file behind a descriptor, and as the guest sees them. */
int tree_statx(int fd, const char *name, struct statx *ret);
void tree_attr(struct tree *t, const struct statx *stx, struct stat *ret);
int tree_stat(struct tree *t, struct node *n, struct stat *ret);
uint64_t tree_ino(struct tree *t, uint64_t dev, uint64_t ino);

/* Whether a file of that type may be made at name: 0, -EROFS or -ENOTDIR. */
int tree_place(const struct tree *t, const struct node *dir, const char *name, mode_t type);
/* Before a name goes away (remove, rename) or is taken: -EROFS where it is protected. moves: the directories above
 * protected paths count too. *ret_known (may be NULL) is the guest's node for what stands there, or NULL, with its
 * descriptor open so that it outlives its name. A name that does not exist is no error. */
int tree_leave(struct tree *t, struct node *parent, const char *name, bool moves, struct node **ret_known);

#endif
