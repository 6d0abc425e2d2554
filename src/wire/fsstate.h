/* SPDX-License-Identifier: Apache-2.0
 *
 * fsstate: what sbx-fs writes down of a session so that another sbx-fs can go on with it: what was agreed with the guest's
 * kernel, and every number that the kernel holds (nodes, open files), with what it stands for. No I/O.
 *
 *   head       magic and version, length and CRC-32 of all the rest, the counts, the agreement
 *   records    the roots, nodes, contents, open files, locks, lock requests that wait, in this order
 *
 * All numbers are little-endian. A node comes after its parent, so that the places can form no circle. Where the bytes
 * decode they are written again as they were.
 *
 * A file on a disk is from outside: what decodes has sound lengths, counts, kinds and names. Whether the numbers
 * fit together is checked where they are used (share/restore.c).
 */
#ifndef SBX_WIRE_FSSTATE_H
#define SBX_WIRE_FSSTATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

#define FSSTATE_MAX_BYTES ((size_t)512 << 20)
#define FSSTATE_MAX_ROOTS 64U
#define FSSTATE_MAX_NODES (1U << 21)
#define FSSTATE_MAX_HANDLES 65536U
#define FSSTATE_MAX_LOCKS 65536U
#define FSSTATE_MAX_WAITS 1024U
/* The contents of all files without a name together. */
#define FSSTATE_MAX_KEPT ((size_t)128 << 20)
#define FSSTATE_MAX_NAME 255U
/* struct fuse_init_in, fuse_init_out and fuse_lk_in of linux/fuse.h. */
#define FSSTATE_INIT_BYTES 64U
#define FSSTATE_LK_BYTES 48U

struct fsstate_head {
	uint32_t nroots, nnodes, ncontents, nhandles, nlocks, nwaits;
	uint32_t node_gen, handle_gen; /* no number with a higher generation was given out */
	uint8_t offer[FSSTATE_INIT_BYTES], agreed[FSSTATE_INIT_BYTES]; /* FUSE_INIT and its answer */
};

/* Which file it was. */
struct fsstate_id {
	uint64_t dev, ino, mnt;
	int64_t birth_s;
	uint32_t birth_ns;
};

struct fsstate_root {
	bool is_file;
	struct fsstate_id id;
};

struct fsstate_node {
	uint32_t index, gen;
	uint32_t parent; /* index of a root or an earlier node; 0: it has no name any more */
	uint16_t root;
	mode_t type;     /* S_IFMT bits */
	uint64_t nlookup;
	struct fsstate_id id;
	char name[FSSTATE_MAX_NAME + 1]; /* one component; empty where parent is 0 */
};

/* What is in a file that has no name any more, and would be gone. */
struct fsstate_content {
	uint32_t node;
	uint16_t mode; /* permission bits */
	int64_t change_s; /* of its content */
	uint32_t change_ns;
	uint64_t n;
	const uint8_t *bytes; /* n; borrowed from what is read */
};

enum fsstate_flock { FSSTATE_FLOCK_NONE, FSSTATE_FLOCK_SHARED, FSSTATE_FLOCK_EXCLUSIVE };

struct fsstate_handle {
	uint32_t index, gen, node;
	uint32_t flags; /* O_ACCMODE and O_SYNC bits of open(2) */
	bool dir;
	enum fsstate_flock lock;
	int64_t change_s; /* the file's time of change, and its size */
	uint32_t change_ns;
	uint64_t bytes;
};

/* A range that an owner has locked (fcntl). */
struct fsstate_lock {
	uint32_t node;
	bool write;
	int32_t pid;
	uint64_t owner;
	int64_t first, last; /* INT64_MAX: to the end */
};

/* A FUSE_SETLKW without an answer. */
struct fsstate_wait {
	uint64_t unique, node_id;
	uint8_t lk[FSSTATE_LK_BYTES];
};

/* Writing: fsstate_begin, the records in their order, then fsstate_end with their counts. out is empty before. -EMSGSIZE,
 * -ENOMEM, and -EINVAL for what would not be read again. */
int fsstate_begin(struct buf *out);
int fsstate_put_root(struct buf *out, const struct fsstate_root *r);
int fsstate_put_node(struct buf *out, const struct fsstate_node *n);
/* *ret_bytes: where its n bytes go, before anything else is put; c->bytes does not matter. */
int fsstate_put_content(struct buf *out, const struct fsstate_content *c, uint8_t **ret_bytes);
int fsstate_put_handle(struct buf *out, const struct fsstate_handle *h);
int fsstate_put_lock(struct buf *out, const struct fsstate_lock *l);
int fsstate_put_wait(struct buf *out, const struct fsstate_wait *w);
int fsstate_end(struct buf *out, const struct fsstate_head *head);

/* Borrows the bytes. */
struct fsstate_reader {
	const uint8_t *at, *end;
};

/* Looks at all of it: 0, -EBADMSG (damaged), -EPROTONOSUPPORT (another version), -EMSGSIZE. The reader is at the first root;
 * the records are then read in their order, each as often as the head says. */
int fsstate_open(const uint8_t *bytes, size_t n, struct fsstate_head *ret, struct fsstate_reader *ret_reader);
/* 0 or -EBADMSG. */
int fsstate_get_root(struct fsstate_reader *r, struct fsstate_root *ret);
int fsstate_get_node(struct fsstate_reader *r, struct fsstate_node *ret);
int fsstate_get_content(struct fsstate_reader *r, struct fsstate_content *ret);
int fsstate_get_handle(struct fsstate_reader *r, struct fsstate_handle *ret);
int fsstate_get_lock(struct fsstate_reader *r, struct fsstate_lock *ret);
int fsstate_get_wait(struct fsstate_reader *r, struct fsstate_wait *ret);

#endif
