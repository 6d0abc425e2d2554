/* SPDX-License-Identifier: Apache-2.0
 *
 * node: the table of files that the guest knows. A node stands for one file of the host as seen in one root; the
 * number that the guest gets for it (nodeid) is an index into the table and a generation, never a pointer.
 *
 * A node is found by its key: device, inode number, birth time, mount, root, and whether it is read-only there. Birth
 * time tells a file from a later one that got the same inode number while nobody held it open here.
 *
 * A node knows its place (parent and name), under which its descriptor can be opened again, and may hold that
 * descriptor (O_PATH). Descriptors are a bounded cache: the least recently used one of a node with a place is closed
 * when there are too many. A node without a place (removed, or moved by the host) keeps its descriptor.
 *
 * A node lives while the guest counts lookups of it, or while something here refers to it (child, handle, lock).
 */
#ifndef SBX_SHARE_NODE_H
#define SBX_SHARE_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct handle;

struct node_key {
	uint64_t dev, ino, mnt;
	int64_t birth_s;
	uint32_t birth_ns;
	uint16_t root;
	bool readonly;
};

struct node {
	struct node_key key;
	uint32_t index, gen;
	uint64_t nlookup;       /* how often the guest was told of it and has not forgotten */
	uint32_t refs;          /* children, handles, locks, fixed */
	mode_t type;            /* S_IFMT bits */
	bool hashed;            /* found by node_find */
	bool fixed;             /* lives as long as the table; the guest need not have looked it up */
	struct node *parent;    /* ref; NULL: no place */
	char *name;             /* owned; NULL: no place */
	int fd;                 /* owned, O_PATH, or -1 */
	struct handle *handles; /* open ones, borrowed; kept by handle.c */
	struct node *next;      /* in the hash chain, or in the list of those to be freed */
	struct node *newer, *older; /* in the list of descriptors that may be closed, where place and fd are known */
	bool listed;
};

struct node_table {
	struct node **slots; /* owned; slots[0] is unused */
	uint32_t *gens;      /* owned; the next generation of each slot */
	uint32_t first_gen;  /* that of new slots */
	uint32_t *spare;     /* owned; stack of free indexes */
	size_t nspare, cap, max, used;
	struct node **chains; /* owned */
	size_t nchains;
	struct node *newest, *oldest;
	size_t nfds, max_fds;
};

/* At most max_nodes at once and about max_fds descriptors. 0 or -ENOMEM. */
int node_table_init(struct node_table *t, size_t max_nodes, size_t max_fds);
void node_table_done(struct node_table *t);

uint64_t node_id(const struct node *n);
/* The node that the guest means, NULL where it was never told of it or has forgotten it. */
struct node *node_get(struct node_table *t, uint64_t id);
struct node *node_find(struct node_table *t, const struct node_key *key);
/* A new node; one that is fixed is not found by its key. -ENFILE where the table is full, -ENOMEM. It is freed by the
 * first node_unref or node_forget that leaves it without references and lookups. */
int node_add(struct node_table *t, const struct node_key *key, mode_t type, bool fixed, struct node **ret);
/* A node of another table with the numbers that it had there, not found by its key and without a place: -EEXIST where
 * the number is taken, -ENFILE, -ENOMEM. None is freed before node_restored, which wants the highest generation that the
 * other table has given out. */
int node_restore(struct node_table *t, uint32_t index, uint32_t gen, uint64_t nlookup, mode_t type, struct node **ret);
void node_restored(struct node_table *t, uint32_t last_gen);
/* It stands for another file now. Found by that key unless another node is. */
void node_rekey(struct node_table *t, struct node *n, const struct node_key *key);
/* No longer found by its key, because another file has it now; the guest's number for it stays valid. */
void node_unhash(struct node_table *t, struct node *n);
void node_ref(struct node *n);
void node_unref(struct node_table *t, struct node *n);
/* The guest forgets n lookups; more than it has is the same as all. */
void node_forget(struct node_table *t, struct node *n, uint64_t count);

/* Where it is now. A parent that lies below the node itself (the host moved things) leaves it without a place. */
int node_place(struct node_table *t, struct node *n, struct node *parent, const char *name);
void node_displace(struct node_table *t, struct node *n);
bool node_is_at(const struct node *n, const struct node *parent, const char *name);

/* Gives it a descriptor (taken over); closes others where there are too many. */
void node_set_fd(struct node_table *t, struct node *n, int fd);
/* It was used. */
void node_touch(struct node_table *t, struct node *n);
/* Closes the least recently used descriptors until at most keep of those that may be closed are open. */
void node_evict(struct node_table *t, size_t keep);

#endif
