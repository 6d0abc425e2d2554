/* SPDX-License-Identifier: Apache-2.0
 *
 * handle: the table of files that the guest has open. The number that the guest gets (fh) is an index and a
 * generation. A handle is valid only together with the node it was opened on.
 */
#ifndef SBX_SHARE_HANDLE_H
#define SBX_SHARE_HANDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "share/node.h"

#define HANDLE_MAX 65536

struct handle {
	struct node *node;   /* ref */
	struct handle *next; /* of the same node */
	int fd;              /* owned; -1 for what is made up, and what is lost */
	bool dir;
	bool writable;
	bool lost;           /* could not be opened again */
	bool stale;          /* the host has changed the file since the guest's kernel was told of it */
	int flags;           /* what is lost was opened with: O_ACCMODE and O_SYNC bits */
	uint32_t index, gen;
	int64_t pos;         /* directory: where the next entry is read; -1: unknown */
};

struct handle_table {
	struct handle **slots; /* owned */
	uint32_t *gens;        /* owned; the last generation of each slot */
	uint32_t first_gen;    /* that of new slots, less one */
	size_t cap, max, used, hint;
};

int handle_table_init(struct handle_table *t, size_t max);
/* Closes all; the nodes must still be there. */
void handle_table_done(struct handle_table *t, struct node_table *nodes);

/* Takes fd over, also on failure. -ENFILE where the table is full. */
int handle_add(struct handle_table *t, struct node *node, int fd, bool dir, struct handle **ret);
/* A handle of another table with the numbers that it had there; else as handle_add. -EEXIST where the number is taken. */
int handle_restore(struct handle_table *t, uint32_t index, uint32_t gen, struct node *node, bool dir, struct handle **ret);
/* After the last one: the highest generation that the other table has given out. */
void handle_restored(struct handle_table *t, uint32_t last_gen);
uint64_t handle_id(const struct handle *h);
/* NULL where the guest has no such file open on that node. */
struct handle *handle_get(const struct handle_table *t, uint64_t id, const struct node *node, bool dir);
void handle_close(struct handle_table *t, struct node_table *nodes, struct handle *h);

#endif
