/* SPDX-License-Identifier: Apache-2.0
 *
 * save: see save.h.
 */
#include "share/save.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "base/str.h"

static struct fsstate_id id_of(const struct node_key *k)
{
	return (struct fsstate_id){ k->dev, k->ino, k->mnt, k->birth_s, k->birth_ns };
}

static int save_roots(struct fs *f, struct buf *out)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < f->config.nroots; i++) {
		struct node *n = f->tree.roots[i];
		struct fsstate_root root = { .is_file = S_ISREG(n->type) };
		struct statx stx;
		int fd = tree_fd(&f->tree, n);

		r = fd < 0 ? fd : tree_statx(fd, "", &stx);
		if (r == 0) {
			const struct node_key k = tree_key(&stx, 0, false);

			root.id = id_of(&k);
			r = fsstate_put_root(out, &root);
		}
	}
	return r;
}

static int save_node(const struct node *n, struct buf *out)
{
	struct fsstate_node s = { .index = n->index, .gen = n->gen, .parent = n->parent ? n->parent->index : 0,
				  .root = n->key.root, .type = n->type, .nlookup = n->nlookup, .id = id_of(&n->key) };
	int r = n->name ? str_format(s.name, sizeof(s.name), "%s", n->name) : 0;

	return r < 0 ? r : fsstate_put_node(out, &s);
}

/* Parents first: from each node up to what is written, then down again. done: a flag per slot; way: room for all nodes. */
static int save_nodes(const struct node_table *t, bool *done, const struct node **way, struct buf *out, uint32_t *ret_n)
{
	uint32_t n = 0;
	int r = 0;

	for (size_t i = 1; r == 0 && i < t->cap; i++) {
		size_t depth = 0;

		for (const struct node *at = t->slots[i]; at && !at->fixed && !done[at->index]; at = at->parent)
			way[depth++] = at;
		for (; r == 0 && depth > 0; n++) {
			done[way[--depth]->index] = true;
			r = save_node(way[depth], out);
		}
	}
	*ret_n = n;
	return r;
}

/* A node whose name leads to another file now has none: what the guest has open is not what stands there. */
static void settle(struct fs *f)
{
	for (size_t i = 0; i < f->handles.cap; i++) {
		const struct handle *h = f->handles.slots[i];
		struct node *n = h ? h->node : NULL;
		struct node_key now;
		struct statx stx;
		int fd;

		if (!n || !n->parent || h->fd < 0)
			continue;
		fd = tree_fd(&f->tree, n->parent);
		if (fd < 0 || tree_statx(fd, n->name, &stx) < 0) {
			node_displace(&f->tree.nodes, n);
			continue;
		}
		now = tree_key(&stx, n->key.root, n->key.readonly);
		if (now.dev != n->key.dev || now.ino != n->key.ino || now.birth_s != n->key.birth_s ||
		    now.birth_ns != n->key.birth_ns)
			node_displace(&f->tree.nodes, n);
	}
}

static void read_whole(int fd, uint8_t *bytes, size_t n)
{
	size_t have = 0;

	while (have < n) {
		ssize_t r = pread(fd, bytes + have, n - have, (off_t)have);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			break;
		have += (size_t)r;
	}
	/* What cannot be read is as a hole. */
	memset(bytes + have, 0, n - have);
}

/* 1: written, 0: it will be lost. One that has other names is lost, too: a copy would not be that file. */
static int save_content(struct fs *f, struct node *n, size_t room, struct buf *out)
{
	auto_fd int fd = tree_open(&f->tree, n, O_RDONLY);
	struct fsstate_content c = { .node = n->index };
	struct statx stx;
	uint8_t *bytes;
	int r;

	if (fd < 0 || tree_statx(fd, "", &stx) < 0 || stx.stx_nlink > 0 || stx.stx_size > room)
		return 0;
	c.mode = stx.stx_mode & 07777;
	c.change_s = stx.stx_mtime.tv_sec;
	c.change_ns = stx.stx_mtime.tv_nsec;
	c.n = stx.stx_size;
	r = fsstate_put_content(out, &c, &bytes);
	if (r < 0)
		return r;
	if (c.n > 0)
		read_whole(fd, bytes, (size_t)c.n);
	return 1;
}

/* kept: a flag per slot, of those that are written. */
static int save_contents(struct fs *f, bool *kept, struct buf *out, uint32_t *ret_n)
{
	const struct node_table *t = &f->tree.nodes;
	size_t room = FSSTATE_MAX_KEPT;

	*ret_n = 0;
	for (size_t i = 1; i < t->cap; i++) {
		struct node *n = t->slots[i];
		size_t before = buf_len(out);
		int r = n && !n->fixed && !n->parent && n->handles && S_ISREG(n->type) ? save_content(f, n, room, out) : 0;

		if (r < 0)
			return r;
		kept[i] = r > 0;
		*ret_n += kept[i];
		if (kept[i])
			room -= buf_len(out) - before < room ? buf_len(out) - before : room;
	}
	return 0;
}

static int save_handle(struct fs *f, const struct handle *h, struct buf *out)
{
	struct fsstate_handle s = { .index = h->index, .gen = h->gen, .node = h->node->index, .flags = (uint32_t)h->flags,
				    .dir = h->dir };
	struct statx stx;
	int flags;

	if (h->fd >= 0) {
		flags = fcntl(h->fd, F_GETFL);
		if (flags < 0)
			return -errno;
		s.flags = (uint32_t)flags & (O_ACCMODE | O_SYNC);
		s.lock = h->dir ? FSSTATE_FLOCK_NONE : locks_flock_of(f, h->fd);
		if (tree_statx(h->fd, "", &stx) == 0) {
			s.change_s = stx.stx_ctime.tv_sec;
			s.change_ns = stx.stx_ctime.tv_nsec;
			s.bytes = stx.stx_size;
		}
	}
	return fsstate_put_handle(out, &s);
}

static int save_handles(struct fs *f, const bool *kept, struct buf *out, uint32_t *ret_n, size_t *ret_lost)
{
	int r = 0;

	*ret_n = 0;
	*ret_lost = 0;
	for (size_t i = 0; r == 0 && i < f->handles.cap; i++) {
		const struct handle *h = f->handles.slots[i];

		if (!h)
			continue;
		r = save_handle(f, h, out);
		++*ret_n;
		*ret_lost += !h->node->fixed && !h->node->parent && !kept[h->node->index];
	}
	return r;
}

static uint32_t highest(const uint32_t *gens, size_t n)
{
	uint32_t max = 0;

	for (size_t i = 0; i < n; i++)
		max = gens[i] > max ? gens[i] : max;
	return max;
}

static int save_all(struct fs *f, struct buf *out, size_t *ret_lost)
{
	const struct node_table *t = &f->tree.nodes;
	struct fsstate_head head = { .nroots = (uint32_t)f->config.nroots, .handle_gen = highest(f->handles.gens, f->handles.cap),
				     .node_gen = highest(t->gens, t->cap) };
	auto_free bool *done = calloc(t->cap, sizeof(*done));
	auto_free bool *kept = calloc(t->cap, sizeof(*kept));
	auto_free const struct node **way = calloc(t->used + 1, sizeof(*way));
	int r = done && kept && way ? fsstate_begin(out) : -ENOMEM;

	memcpy(head.offer, f->door.offer, sizeof(head.offer));
	memcpy(head.agreed, f->door.agreed, sizeof(head.agreed));
	if (r == 0)
		r = save_roots(f, out);
	if (r == 0)
		r = save_nodes(t, done, way, out, &head.nnodes);
	if (r == 0)
		r = save_contents(f, kept, out, &head.ncontents);
	if (r == 0)
		r = save_handles(f, kept, out, &head.nhandles, ret_lost);
	if (r == 0)
		r = locks_save(f, out, &head.nlocks, &head.nwaits);
	return r == 0 ? fsstate_end(out, &head) : r;
}

int save_state(struct fs *f, struct buf *out, size_t *ret_lost, struct err *err)
{
	size_t lost;
	int r;

	if (!door_is_still(&f->door))
		return err_set(err, ERR_CONFLICT, EBUSY, "the guest does not hold its file door");
	settle(f);
	r = save_all(f, out, &lost);
	if (r < 0)
		return err_errno(err, -r, "cannot write down what the guest has open");
	*ret_lost = lost;
	return 0;
}
