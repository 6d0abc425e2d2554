/* SPDX-License-Identifier: Apache-2.0
 *
 * index: a hash table from a key to numbers 0, 1, 2, ... in the order of their adding; several may have one key. It holds the
 * hashes, the owner the keys: what index_first and index_next give has the same hash, and the owner compares the key. Grows by
 * doubling; nothing is ever taken out. Keys are the policy's own: a guest chooses what is looked up, never what is in the table.
 */
#ifndef SBX_POLICY_INDEX_H
#define SBX_POLICY_INDEX_H

#include <stddef.h>
#include <stdint.h>

#define INDEX_END UINT32_MAX

struct index {
	uint32_t *bucket; /* owned: first number of each bucket */
	uint32_t *next;   /* owned: by number, the next one of its bucket */
	uint64_t *hash;   /* owned: by number */
	size_t buckets;   /* 0 or a power of two */
	size_t n;
};

/* Zero is an empty index. */
void index_done(struct index *ix);
/* Makes room for one more number; 0 or -ENOMEM. */
int index_reserve(struct index *ix);
/* Adds the number ix->n under a hash; there must be room for it. */
void index_add(struct index *ix, uint64_t hash);
/* Numbers with this hash; INDEX_END behind the last one. */
uint32_t index_first(const struct index *ix, uint64_t hash);
uint32_t index_next(const struct index *ix, uint32_t at);
/* FNV-1a; begin with INDEX_SEED and go on with what it returned. */
#define INDEX_SEED UINT64_C(0xcbf29ce484222325)
uint64_t index_hash(uint64_t hash, const void *bytes, size_t n);

#endif
