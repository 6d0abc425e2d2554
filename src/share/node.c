/* SPDX-License-Identifier: Apache-2.0
 *
 * node: see node.h. A chained hash table over an array of slots; both grow by doubling.
 */
#include "share/node.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"

#define FIRST_CAP 1024U

static uint64_t mix(uint64_t h, uint64_t v)
{
	h ^= v + 0x9e3779b97f4a7c15U + (h << 6) + (h >> 2);
	h *= 0xff51afd7ed558ccdU;
	return h ^ (h >> 33);
}

static size_t chain_of(const struct node_table *t, const struct node_key *k)
{
	uint64_t h = mix(mix(mix(k->root, k->dev), k->ino), (uint64_t)k->readonly);

	return (size_t)(h & (t->nchains - 1));
}

static bool same(const struct node_key *a, const struct node_key *b)
{
	return a->ino == b->ino && a->dev == b->dev && a->mnt == b->mnt && a->birth_s == b->birth_s &&
	       a->birth_ns == b->birth_ns && a->root == b->root && a->readonly == b->readonly;
}

int node_table_init(struct node_table *t, size_t max_nodes, size_t max_fds)
{
	*t = (struct node_table){ .max = max_nodes, .max_fds = max_fds };
	t->cap = FIRST_CAP;
	t->nchains = FIRST_CAP;
	t->slots = calloc(t->cap, sizeof(*t->slots));
	t->gens = calloc(t->cap, sizeof(*t->gens));
	t->spare = calloc(t->cap, sizeof(*t->spare));
	t->chains = calloc(t->nchains, sizeof(*t->chains));
	if (!t->slots || !t->gens || !t->spare || !t->chains) {
		node_table_done(t);
		return -ENOMEM;
	}
	/* Popped from the end: index 1 first, 0 never. */
	for (size_t i = t->cap - 1; i > 0; i--)
		t->spare[t->nspare++] = (uint32_t)i;
	return 0;
}

static void destroy(struct node *n)
{
	own_close_p(&n->fd);
	free(n->name);
	free(n);
}

void node_table_done(struct node_table *t)
{
	for (size_t i = 1; t->slots && i < t->cap; i++)
		if (t->slots[i])
			destroy(t->slots[i]);
	free(t->slots);
	free(t->gens);
	free(t->spare);
	free(t->chains);
	*t = (struct node_table){ 0 };
}

static void *grown(void *old, size_t n, size_t size, size_t old_n)
{
	void *p = calloc(n, size);

	if (p && old)
		memcpy(p, old, old_n * size);
	return p;
}

static int grow_slots(struct node_table *t)
{
	size_t cap = t->cap * 2;
	auto_free void *slots = grown(t->slots, cap, sizeof(*t->slots), t->cap);
	auto_free void *gens = grown(t->gens, cap, sizeof(*t->gens), t->cap);
	auto_free void *spare = calloc(cap, sizeof(*t->spare));

	if (!slots || !gens || !spare)
		return -ENOMEM;
	free(t->slots);
	free(t->gens);
	free(t->spare);
	t->slots = TAKE_PTR(slots);
	t->gens = TAKE_PTR(gens);
	t->spare = TAKE_PTR(spare);
	t->nspare = 0;
	for (size_t i = cap - 1; i >= t->cap; i--) {
		t->spare[t->nspare++] = (uint32_t)i;
		t->gens[i] = t->first_gen;
	}
	t->cap = cap;
	return 0;
}

/* Longer chains are slower, not wrong: out of memory is no error here. */
static void grow_chains(struct node_table *t)
{
	size_t old_n = t->nchains;
	struct node **old = t->chains, **wide = calloc(old_n * 2, sizeof(*wide));

	if (!wide)
		return;
	t->chains = wide;
	t->nchains = old_n * 2;
	for (size_t i = 0; i < old_n; i++) {
		for (struct node *n = old[i], *next; n; n = next) {
			size_t c = chain_of(t, &n->key);

			next = n->next;
			n->next = wide[c];
			wide[c] = n;
		}
	}
	free(old);
}

uint64_t node_id(const struct node *n)
{
	return (uint64_t)n->gen << 32 | n->index;
}

struct node *node_get(struct node_table *t, uint64_t id)
{
	uint32_t index = (uint32_t)id;
	struct node *n = index < t->cap ? t->slots[index] : NULL;

	return n && n->gen == (uint32_t)(id >> 32) && (n->nlookup > 0 || n->fixed) ? n : NULL;
}

struct node *node_find(struct node_table *t, const struct node_key *key)
{
	struct node *n = t->chains[chain_of(t, key)];

	while (n && !same(&n->key, key))
		n = n->next;
	return n;
}

static void hash(struct node_table *t, struct node *n)
{
	size_t c;

	if (t->used > t->nchains)
		grow_chains(t);
	c = chain_of(t, &n->key);
	n->next = t->chains[c];
	t->chains[c] = n;
	n->hashed = true;
}

int node_add(struct node_table *t, const struct node_key *key, mode_t type, bool fixed, struct node **ret)
{
	struct node *n;

	if (t->used >= t->max)
		return -ENFILE;
	if (t->nspare == 0 && grow_slots(t) < 0)
		return -ENOMEM;
	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	n->key = *key;
	n->type = type;
	n->fd = -1;
	n->fixed = fixed;
	n->refs = fixed ? 1 : 0;
	n->index = t->spare[--t->nspare];
	/* Generation 0 only once: the root of the file system must be nodeid 1. */
	n->gen = t->gens[n->index]++;
	t->slots[n->index] = n;
	t->used++;
	if (!fixed)
		hash(t, n);
	*ret = n;
	return 0;
}

int node_restore(struct node_table *t, uint32_t index, uint32_t gen, uint64_t nlookup, mode_t type, struct node **ret)
{
	struct node *n;

	if (t->used >= t->max || index >= t->max)
		return -ENFILE;
	while (index >= t->cap)
		if (grow_slots(t) < 0)
			return -ENOMEM;
	if (index == 0 || t->slots[index])
		return -EEXIST;
	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	*n = (struct node){ .index = index, .gen = gen, .nlookup = nlookup, .type = type, .fd = -1 };
	t->slots[index] = n;
	t->gens[index] = gen + 1;
	t->used++;
	*ret = n;
	return 0;
}

void node_rekey(struct node_table *t, struct node *n, const struct node_key *key)
{
	node_unhash(t, n);
	n->key = *key;
	if (!node_find(t, key))
		hash(t, n);
}

static void unlist(struct node_table *t, struct node *n)
{
	if (!n->listed)
		return;
	*(n->newer ? &n->newer->older : &t->newest) = n->older;
	*(n->older ? &n->older->newer : &t->oldest) = n->newer;
	n->newer = n->older = NULL;
	n->listed = false;
	t->nfds--;
}

/* Only what can be opened again may be closed. */
static void list(struct node_table *t, struct node *n)
{
	if (n->listed || n->fd < 0 || !n->parent)
		return;
	n->older = t->newest;
	*(t->newest ? &t->newest->newer : &t->oldest) = n;
	t->newest = n;
	n->listed = true;
	t->nfds++;
}

void node_touch(struct node_table *t, struct node *n)
{
	if (n->listed && t->newest != n) {
		unlist(t, n);
		list(t, n);
	}
}

void node_evict(struct node_table *t, size_t keep)
{
	while (t->nfds > keep) {
		struct node *n = t->oldest;

		unlist(t, n);
		own_close_p(&n->fd);
	}
}

void node_set_fd(struct node_table *t, struct node *n, int fd)
{
	unlist(t, n);
	own_close_p(&n->fd);
	if (t->nfds >= t->max_fds)
		node_evict(t, t->max_fds - 1);
	n->fd = fd;
	list(t, n);
}

void node_unhash(struct node_table *t, struct node *n)
{
	struct node **at;

	if (!n->hashed)
		return;
	for (at = &t->chains[chain_of(t, &n->key)]; *at != n; at = &(*at)->next)
		assert(*at);
	*at = n->next;
	n->hashed = false;
}

/* Frees n and every ancestor that only n kept. */
static void collect(struct node_table *t, struct node *n)
{
	while (n && n->refs == 0 && n->nlookup == 0) {
		struct node *parent = n->parent;

		unlist(t, n);
		node_unhash(t, n);
		t->slots[n->index] = NULL;
		t->spare[t->nspare++] = n->index;
		t->used--;
		destroy(n);
		if (parent)
			parent->refs--;
		n = parent;
	}
}

void node_restored(struct node_table *t, uint32_t last_gen)
{
	t->first_gen = last_gen + 1;
	t->nspare = 0;
	for (size_t i = t->cap - 1; i > 0; i--)
		if (!t->slots[i]) {
			t->gens[i] = t->first_gen;
			t->spare[t->nspare++] = (uint32_t)i;
		}
	/* What nothing refers to and the guest does not know. */
	for (size_t i = 1; i < t->cap; i++)
		if (t->slots[i])
			collect(t, t->slots[i]);
}

void node_ref(struct node *n)
{
	n->refs++;
}

void node_unref(struct node_table *t, struct node *n)
{
	assert(n->refs > 0);
	n->refs--;
	collect(t, n);
}

void node_forget(struct node_table *t, struct node *n, uint64_t count)
{
	n->nlookup -= count < n->nlookup ? count : n->nlookup;
	collect(t, n);
}

bool node_is_at(const struct node *n, const struct node *parent, const char *name)
{
	return n->parent == parent && n->name && str_eq(n->name, name);
}

/* Whether n lies on the way from below to the top. Only nodes with children can. */
static bool lies_above(const struct node *n, const struct node *below)
{
	for (; below; below = below->parent)
		if (below == n)
			return true;
	return false;
}

int node_place(struct node_table *t, struct node *n, struct node *parent, const char *name)
{
	char *copy;

	if (node_is_at(n, parent, name))
		return 0;
	/* A file has no children, and a directory that was not known a moment ago neither. */
	if (n->refs > 0 && lies_above(n, parent)) {
		node_displace(t, n);
		return 0;
	}
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	node_ref(parent);
	node_ref(n);
	node_displace(t, n);
	n->refs--;
	n->parent = parent;
	n->name = copy;
	list(t, n);
	return 0;
}

void node_displace(struct node_table *t, struct node *n)
{
	struct node *parent = n->parent;

	unlist(t, n);
	n->parent = NULL;
	free(n->name);
	n->name = NULL;
	if (parent)
		node_unref(t, parent);
}
