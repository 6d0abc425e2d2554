/* SPDX-License-Identifier: Apache-2.0
 *
 * handle: see handle.h.
 */
#include "share/handle.h"

#include <errno.h>
#include <string.h>

#include "base/own.h"

#define FIRST_CAP 256U

int handle_table_init(struct handle_table *t, size_t max)
{
	*t = (struct handle_table){ .cap = FIRST_CAP, .max = max < HANDLE_MAX ? max : HANDLE_MAX };
	t->slots = calloc(t->cap, sizeof(struct handle *));
	t->gens = calloc(t->cap, sizeof(*t->gens));
	if (!t->slots || !t->gens) {
		free(t->slots);
		free(t->gens);
		*t = (struct handle_table){ 0 };
		return -ENOMEM;
	}
	return 0;
}

void handle_table_done(struct handle_table *t, struct node_table *nodes)
{
	for (size_t i = 0; i < t->cap; i++)
		if (t->slots[i])
			handle_close(t, nodes, t->slots[i]);
	free(t->slots);
	free(t->gens);
	*t = (struct handle_table){ 0 };
}

static int grow(struct handle_table *t)
{
	size_t cap = t->cap * 2;
	struct handle **slots = calloc(cap, sizeof(*slots));
	uint32_t *gens = calloc(cap, sizeof(*gens));

	if (!slots || !gens) {
		free(slots);
		free(gens);
		return -ENOMEM;
	}
	memcpy(slots, t->slots, t->cap * sizeof(*slots));
	memcpy(gens, t->gens, t->cap * sizeof(*gens));
	for (size_t i = t->cap; i < cap; i++)
		gens[i] = t->first_gen;
	free(t->slots);
	free(t->gens);
	t->slots = slots;
	t->gens = gens;
	t->hint = t->cap;
	t->cap = cap;
	return 0;
}

static void enter(struct handle_table *t, struct handle *h)
{
	t->slots[h->index] = h;
	t->gens[h->index] = h->gen;
	t->used++;
	h->next = h->node->handles;
	h->node->handles = h;
	node_ref(h->node);
}

int handle_restore(struct handle_table *t, uint32_t index, uint32_t gen, struct node *node, bool dir, struct handle **ret)
{
	struct handle *h;

	if (t->used >= t->max || index >= HANDLE_MAX)
		return -ENFILE;
	while (index >= t->cap)
		if (grow(t) < 0)
			return -ENOMEM;
	if (t->slots[index])
		return -EEXIST;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	*h = (struct handle){ .node = node, .fd = -1, .dir = dir, .pos = -1, .index = index, .gen = gen };
	enter(t, h);
	*ret = h;
	return 0;
}

void handle_restored(struct handle_table *t, uint32_t last_gen)
{
	t->first_gen = last_gen;
	t->hint = 0;
	for (size_t i = 0; i < t->cap; i++)
		if (!t->slots[i])
			t->gens[i] = last_gen;
}

int handle_add(struct handle_table *t, struct node *node, int fd, bool dir, struct handle **ret)
{
	auto_fd int owned = fd;
	struct handle *h;

	if (t->used >= t->max)
		return -ENFILE;
	if (t->used == t->cap && grow(t) < 0)
		return -ENOMEM;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	while (t->slots[t->hint])
		t->hint = (t->hint + 1) % t->cap;
	*h = (struct handle){ .node = node, .fd = TAKE_FD(owned), .dir = dir, .pos = -1, .index = (uint32_t)t->hint };
	h->gen = t->gens[h->index] + 1;
	enter(t, h);
	*ret = h;
	return 0;
}

uint64_t handle_id(const struct handle *h)
{
	return (uint64_t)h->gen << 32 | h->index;
}

struct handle *handle_get(const struct handle_table *t, uint64_t id, const struct node *node, bool dir)
{
	uint32_t index = (uint32_t)id;
	struct handle *h = index < t->cap ? t->slots[index] : NULL;

	return h && h->gen == (uint32_t)(id >> 32) && h->node == node && h->dir == dir ? h : NULL;
}

void handle_close(struct handle_table *t, struct node_table *nodes, struct handle *h)
{
	struct node *node = h->node;
	struct handle **at = &node->handles;

	while (*at != h)
		at = &(*at)->next;
	*at = h->next;
	t->slots[h->index] = NULL;
	t->hint = h->index;
	t->used--;
	own_close_p(&h->fd);
	free(h);
	node_unref(nodes, node);
}
