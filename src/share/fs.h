/* SPDX-License-Identifier: Apache-2.0
 *
 * fs: the state of one file server and what its operations share. The operations themselves stand in names.c (the tree),
 * files.c (content), dirs.c (listings), attrs.c and xattrs.c, locks.c; fs.c holds libfuse's table of them.
 */
#ifndef SBX_SHARE_FS_H
#define SBX_SHARE_FS_H

#include "share/config.h"
#include "share/door.h"
#include "share/handle.h"
#include "share/locks.h"
#include "share/node.h"
#include "share/tree.h"

struct fs {
	struct config config;
	struct tree tree;
	struct handle_table handles;
	struct locks locks;
	struct door door;
	int control_fd;  /* owned; -1: none */
	double cache_s;  /* how long the guest may believe names and attributes */
	char *scratch;   /* owned: FUSE_GUARD_MAX_DATA bytes for one answer */
};

/* Takes over the descriptors of config (roots and control) and door_fd; on failure too. max_fds: how many descriptors there may be. */
int fs_init(struct fs *f, struct config *config, int door_fd, size_t max_fds, struct err *err);
void fs_done(struct fs *f);

struct fs *fs_of(fuse_req_t req);
/* The node that the guest means; where it has none, the request is answered with ESTALE and NULL returned. */
struct node *fs_node(fuse_req_t req, fuse_ino_t ino);
/* The open file that the guest means; else the request is answered with EBADF. */
struct handle *fs_file(fuse_req_t req, fuse_ino_t ino, const struct fuse_file_info *fi);
struct handle *fs_dir(fuse_req_t req, fuse_ino_t ino, const struct fuse_file_info *fi);
/* As fs_file and fs_dir, for what is to be closed: it may be lost. */
struct handle *fs_closing(fuse_req_t req, fuse_ino_t ino, const struct fuse_file_info *fi, bool dir);
/* Opens a handle's file, which has none; 0 or -errno. */
int fs_reopen(struct fs *f, struct handle *h);
/* Answers with r, 0 or a negative errno. */
void fs_reply(fuse_req_t req, int r);
/* Answers with the attributes of what stands at name; counts the lookup. */
void fs_reply_entry(fuse_req_t req, struct node *parent, const char *name);
/* Fills an entry for a node that was just looked up, and counts the lookup. */
void fs_entry(struct fs *f, struct node *n, const struct stat *st, struct fuse_entry_param *ret);

#endif
