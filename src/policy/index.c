/* SPDX-License-Identifier: Apache-2.0
 *
 * index: see index.h. Buckets are chains through `next`; a table is never fuller than one number per bucket.
 */
#include "policy/index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"

#define BUCKETS_MIN 64

void index_done(struct index *ix)
{
	free(ix->bucket);
	free(ix->next);
	free(ix->hash);
	*ix = (struct index){ .bucket = NULL };
}

static void link_in(struct index *ix, uint32_t number)
{
	size_t b = ix->hash[number] & (ix->buckets - 1);

	ix->next[number] = ix->bucket[b];
	ix->bucket[b] = number;
}

int index_reserve(struct index *ix)
{
	size_t buckets = ix->buckets ? ix->buckets * 2 : BUCKETS_MIN;
	auto_free uint32_t *bucket = NULL, *next = NULL;
	auto_free uint64_t *hash = NULL;

	if (ix->n < ix->buckets)
		return 0;
	if (ix->n >= INDEX_END / 2)
		return -ENOMEM;
	bucket = malloc(buckets * sizeof(*bucket));
	next = malloc(buckets * sizeof(*next));
	hash = malloc(buckets * sizeof(*hash));
	if (!bucket || !next || !hash)
		return -ENOMEM;
	memset(bucket, 0xff, buckets * sizeof(*bucket));
	if (ix->n > 0)
		memcpy(hash, ix->hash, ix->n * sizeof(*hash));
	free(ix->bucket);
	free(ix->next);
	free(ix->hash);
	ix->bucket = TAKE_PTR(bucket);
	ix->next = TAKE_PTR(next);
	ix->hash = TAKE_PTR(hash);
	ix->buckets = buckets;
	for (uint32_t i = 0; i < ix->n; i++)
		link_in(ix, i);
	return 0;
}

void index_add(struct index *ix, uint64_t hash)
{
	ix->hash[ix->n] = hash;
	link_in(ix, (uint32_t)ix->n);
	ix->n++;
}

static uint32_t find(const struct index *ix, uint32_t at, uint64_t hash)
{
	while (at != INDEX_END && ix->hash[at] != hash)
		at = ix->next[at];
	return at;
}

uint32_t index_first(const struct index *ix, uint64_t hash)
{
	return ix->buckets ? find(ix, ix->bucket[hash & (ix->buckets - 1)], hash) : INDEX_END;
}

uint32_t index_next(const struct index *ix, uint32_t at)
{
	return find(ix, ix->next[at], ix->hash[at]);
}

uint64_t index_hash(uint64_t hash, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
	return hash;
}
