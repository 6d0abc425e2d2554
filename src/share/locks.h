/* SPDX-License-Identifier: Apache-2.0
 *
 * locks: file locks of the guest, taken on the host, so that programs on both sides see each other's.
 *
 * flock(2): the guest's open file has one open file of the host, which takes the lock. fcntl(2) locks belong to an owner
 * (a process of the guest) and a file: each pair has a descriptor of its own, on which open file description locks
 * (F_OFD_SETLK) are taken; closing it ends them.
 *
 * Nothing here blocks. A lock that is waited for is tried again at once when the guest gives one up, and every few
 * milliseconds (4 to 64) for those that the host holds; the request is answered when it succeeds or the guest gives it up.
 * At most LOCKS_MAX_WAITS wait; more get ENOLCK, as do owners beyond the limit.
 */
#ifndef SBX_SHARE_LOCKS_H
#define SBX_SHARE_LOCKS_H

#include <fcntl.h>

#include "base/buf.h"
#include "share/door.h"
#include "share/handle.h"
#include "share/node.h"

#define LOCKS_MAX_WAITS 1024
#define LOCKS_MAX_OWNERS 4096

struct fs;
struct locks_owner; /* the fcntl locks of one owner on one file */
struct locks_wait;  /* one request that waits */

struct locks {
	struct locks_owner *owners; /* owned */
	struct locks_wait *waits;   /* owned, the oldest first */
	size_t nowners, nwaits, max_owners;
	bool now;                   /* something was given up: try before anything else */
	int pause_ms;               /* between two tries */
	uint64_t next_ms;           /* when the next one is due */
};

int locks_init(struct locks *l, size_t max_owners);
/* Those who wait get EINTR. */
void locks_done(struct locks *l, struct node_table *nodes);
/* The locks of one owner, or of all, on a file end. */
void locks_drop_owner(struct locks *l, struct node_table *nodes, struct node *n, uint64_t owner);
void locks_drop_node(struct locks *l, struct node_table *nodes, struct node *n);

/* Writes the fcntl locks and the requests that wait as records of fsstate; those of flock(2) belong to the handles.
 * 0 or -errno. */
int locks_save(struct fs *f, struct buf *out, uint32_t *ret_nlocks, uint32_t *ret_nwaits);
/* Takes a lock again, through an open file of the node; -EAGAIN where somebody else holds it. */
int locks_take(struct fs *f, struct node *n, const struct fsstate_lock *lock);
int locks_take_flock(struct handle *h, enum fsstate_flock lock);
/* What flock(2) holds on a descriptor. */
enum fsstate_flock locks_flock_of(struct fs *f, int fd);

/* FUSE operations; signatures are libfuse's (struct fuse_lowlevel_ops). */
void locks_get(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock);
void locks_set(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock, int wait);
void locks_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op);

/* struct door_ops; user is a struct fs. */
void locks_interrupt(void *user, uint64_t unique);
int locks_tick(void *user);

#endif
