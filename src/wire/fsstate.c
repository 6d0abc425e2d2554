/* SPDX-License-Identifier: Apache-2.0
 *
 * fsstate: see fsstate.h. What may be written and what may be read is one set of checks.
 */
#include "wire/fsstate.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/own.h"

#define MAGIC "SBXFILES"
#define VERSION 1U
/* magic, version, CRC, length; then what the CRC covers: counts, generations, the agreement, the records. */
#define COVERED 24U
#define HEAD_BYTES (COVERED + 8 * 4 + 2 * FSSTATE_INIT_BYTES)

/* ---- numbers ---- */

/* One record on its way out. */
struct out {
	uint8_t bytes[512];
	size_t n;
};

static void put(struct out *o, uint64_t v, size_t size)
{
	for (size_t i = 0; i < size; i++)
		o->bytes[o->n++] = (uint8_t)(v >> 8 * i);
}

static void put_bytes(struct out *o, const void *bytes, size_t n)
{
	memcpy(o->bytes + o->n, bytes, n);
	o->n += n;
}

/* 0 where the bytes have ended; *bad is set then. */
static uint64_t get(struct fsstate_reader *r, size_t size, bool *bad)
{
	uint64_t v = 0;

	if ((size_t)(r->end - r->at) < size) {
		*bad = true;
		return 0;
	}
	for (size_t i = 0; i < size; i++)
		v |= (uint64_t)r->at[i] << 8 * i;
	r->at += size;
	return v;
}

static uint32_t get32(struct fsstate_reader *r, bool *bad)
{
	return (uint32_t)get(r, 4, bad);
}

/* A byte of at most max. */
static unsigned get_small(struct fsstate_reader *r, unsigned max, bool *bad)
{
	unsigned v = (unsigned)get(r, 1, bad);

	if (v > max)
		*bad = true;
	return v;
}

static void get_bytes(struct fsstate_reader *r, void *dst, size_t n, bool *bad)
{
	if ((size_t)(r->end - r->at) < n) {
		*bad = true;
		return;
	}
	memcpy(dst, r->at, n);
	r->at += n;
}

static void put_id(struct out *o, const struct fsstate_id *id)
{
	put(o, id->dev, 8);
	put(o, id->ino, 8);
	put(o, id->mnt, 8);
	put(o, (uint64_t)id->birth_s, 8);
	put(o, id->birth_ns, 4);
}

static void get_id(struct fsstate_reader *r, struct fsstate_id *ret, bool *bad)
{
	ret->dev = get(r, 8, bad);
	ret->ino = get(r, 8, bad);
	ret->mnt = get(r, 8, bad);
	ret->birth_s = (int64_t)get(r, 8, bad);
	ret->birth_ns = get32(r, bad);
}

static uint32_t crc32_of(const uint8_t *bytes, size_t n)
{
	uint32_t table[256], crc = 0xffffffffU;

	for (uint32_t i = 0; i < 256; i++) {
		table[i] = i;
		for (int bit = 0; bit < 8; bit++)
			table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320U : 0);
	}
	for (size_t i = 0; i < n; i++)
		crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 0xff];
	return ~crc;
}

/* ---- what may stand in a record ---- */

static bool component(const char *name, size_t n)
{
	return n > 0 && !memchr(name, '/', n) && !memchr(name, 0, n) && !(n == 1 && name[0] == '.') &&
	       !(n == 2 && name[0] == '.' && name[1] == '.');
}

static bool known_type(mode_t type)
{
	switch (type) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		return true;
	default:
		return false;
	}
}

static bool node_ok(const struct fsstate_node *n)
{
	size_t len = strlen(n->name);

	return n->index > 0 && n->parent != n->index && known_type(n->type) && n->root < FSSTATE_MAX_ROOTS &&
	       (n->parent > 0 ? component(n->name, len) : len == 0);
}

static bool content_ok(const struct fsstate_content *c)
{
	return (c->mode & ~07777) == 0 && c->n <= FSSTATE_MAX_KEPT;
}

static bool handle_ok(const struct fsstate_handle *h)
{
	return (h->flags & ~(uint32_t)(O_ACCMODE | O_SYNC)) == 0 && (h->flags & O_ACCMODE) != O_ACCMODE &&
	       !(h->dir && (h->flags & O_ACCMODE) != O_RDONLY);
}

static bool lock_ok(const struct fsstate_lock *l)
{
	return l->first >= 0 && l->last >= l->first;
}

static bool counts_ok(const struct fsstate_head *h)
{
	return h->nroots <= FSSTATE_MAX_ROOTS && h->nnodes <= FSSTATE_MAX_NODES &&
	       h->ncontents <= FSSTATE_MAX_HANDLES && h->nhandles <= FSSTATE_MAX_HANDLES &&
	       h->nlocks <= FSSTATE_MAX_LOCKS && h->nwaits <= FSSTATE_MAX_WAITS;
}

/* ---- writing ---- */

int fsstate_begin(struct buf *out)
{
	static const uint8_t room[HEAD_BYTES];

	return buf_append(out, room, sizeof(room));
}

int fsstate_put_root(struct buf *out, const struct fsstate_root *r)
{
	struct out o = { .n = 0 };

	put(&o, r->is_file, 1);
	put_id(&o, &r->id);
	return buf_append(out, o.bytes, o.n);
}

int fsstate_put_node(struct buf *out, const struct fsstate_node *n)
{
	size_t len = strlen(n->name);
	struct out o = { .n = 0 };

	if (!node_ok(n))
		return -EINVAL;
	put(&o, n->index, 4);
	put(&o, n->gen, 4);
	put(&o, n->parent, 4);
	put(&o, n->root, 2);
	put(&o, n->type >> 12, 1);
	put(&o, n->nlookup, 8);
	put_id(&o, &n->id);
	put(&o, len, 1);
	put_bytes(&o, n->name, len);
	return buf_append(out, o.bytes, o.n);
}

int fsstate_put_content(struct buf *out, const struct fsstate_content *c, uint8_t **ret_bytes)
{
	struct out o = { .n = 0 };
	uint8_t *bytes;
	int r;

	if (!content_ok(c))
		return -EINVAL;
	put(&o, c->node, 4);
	put(&o, c->mode, 2);
	put(&o, (uint64_t)c->change_s, 8);
	put(&o, c->change_ns, 4);
	put(&o, c->n, 8);
	if (buf_room(out) < o.n + c->n)
		return -EMSGSIZE;
	r = buf_append(out, o.bytes, o.n);
	if (r < 0)
		return r;
	bytes = buf_reserve(out, (size_t)c->n);
	if (!bytes && c->n > 0)
		return -ENOMEM;
	buf_commit(out, (size_t)c->n);
	*ret_bytes = bytes;
	return 0;
}

int fsstate_put_handle(struct buf *out, const struct fsstate_handle *h)
{
	struct out o = { .n = 0 };

	if (!handle_ok(h))
		return -EINVAL;
	put(&o, h->index, 4);
	put(&o, h->gen, 4);
	put(&o, h->node, 4);
	put(&o, h->flags, 4);
	put(&o, h->dir, 1);
	put(&o, h->lock, 1);
	put(&o, (uint64_t)h->change_s, 8);
	put(&o, h->change_ns, 4);
	put(&o, h->bytes, 8);
	return buf_append(out, o.bytes, o.n);
}

int fsstate_put_lock(struct buf *out, const struct fsstate_lock *l)
{
	struct out o = { .n = 0 };

	if (!lock_ok(l))
		return -EINVAL;
	put(&o, l->node, 4);
	put(&o, l->write, 1);
	put(&o, (uint32_t)l->pid, 4);
	put(&o, l->owner, 8);
	put(&o, (uint64_t)l->first, 8);
	put(&o, (uint64_t)l->last, 8);
	return buf_append(out, o.bytes, o.n);
}

int fsstate_put_wait(struct buf *out, const struct fsstate_wait *w)
{
	struct out o = { .n = 0 };

	put(&o, w->unique, 8);
	put(&o, w->node_id, 8);
	put_bytes(&o, w->lk, sizeof(w->lk));
	return buf_append(out, o.bytes, o.n);
}

int fsstate_end(struct buf *out, const struct fsstate_head *head)
{
	uint8_t *bytes = out->data + out->head;
	size_t n = buf_len(out);
	struct out o = { .n = COVERED };

	if (!counts_ok(head) || n < HEAD_BYTES)
		return -EINVAL;
	if (n > FSSTATE_MAX_BYTES)
		return -EMSGSIZE;
	put(&o, head->nroots, 4);
	put(&o, head->nnodes, 4);
	put(&o, head->ncontents, 4);
	put(&o, head->nhandles, 4);
	put(&o, head->nlocks, 4);
	put(&o, head->nwaits, 4);
	put(&o, head->node_gen, 4);
	put(&o, head->handle_gen, 4);
	put_bytes(&o, head->offer, sizeof(head->offer));
	put_bytes(&o, head->agreed, sizeof(head->agreed));
	memcpy(bytes, o.bytes, o.n);
	o.n = 0;
	put_bytes(&o, MAGIC, 8);
	put(&o, VERSION, 4);
	put(&o, crc32_of(bytes + COVERED, n - COVERED), 4);
	put(&o, n, 8);
	memcpy(bytes, o.bytes, o.n);
	return 0;
}

/* ---- reading ---- */

int fsstate_get_root(struct fsstate_reader *r, struct fsstate_root *ret)
{
	bool bad = false;

	ret->is_file = get_small(r, 1, &bad);
	get_id(r, &ret->id, &bad);
	return bad ? -EBADMSG : 0;
}

int fsstate_get_node(struct fsstate_reader *r, struct fsstate_node *ret)
{
	bool bad = false;
	size_t len;

	*ret = (struct fsstate_node){ .index = get32(r, &bad) };
	ret->gen = get32(r, &bad);
	ret->parent = get32(r, &bad);
	ret->root = (uint16_t)get(r, 2, &bad);
	ret->type = (mode_t)get_small(r, 15, &bad) << 12;
	ret->nlookup = get(r, 8, &bad);
	get_id(r, &ret->id, &bad);
	len = get_small(r, FSSTATE_MAX_NAME, &bad);
	get_bytes(r, ret->name, len, &bad);
	return bad || strlen(ret->name) != len || !node_ok(ret) ? -EBADMSG : 0;
}

int fsstate_get_content(struct fsstate_reader *r, struct fsstate_content *ret)
{
	bool bad = false;

	*ret = (struct fsstate_content){ .node = get32(r, &bad) };
	ret->mode = (uint16_t)get(r, 2, &bad);
	ret->change_s = (int64_t)get(r, 8, &bad);
	ret->change_ns = get32(r, &bad);
	ret->n = get(r, 8, &bad);
	if (bad || !content_ok(ret) || ret->n > (uint64_t)(r->end - r->at))
		return -EBADMSG;
	ret->bytes = r->at;
	r->at += ret->n;
	return 0;
}

int fsstate_get_handle(struct fsstate_reader *r, struct fsstate_handle *ret)
{
	bool bad = false;

	*ret = (struct fsstate_handle){ .index = get32(r, &bad) };
	ret->gen = get32(r, &bad);
	ret->node = get32(r, &bad);
	ret->flags = get32(r, &bad);
	ret->dir = get_small(r, 1, &bad);
	ret->lock = (enum fsstate_flock)get_small(r, FSSTATE_FLOCK_EXCLUSIVE, &bad);
	ret->change_s = (int64_t)get(r, 8, &bad);
	ret->change_ns = get32(r, &bad);
	ret->bytes = get(r, 8, &bad);
	return bad || !handle_ok(ret) ? -EBADMSG : 0;
}

int fsstate_get_lock(struct fsstate_reader *r, struct fsstate_lock *ret)
{
	bool bad = false;

	*ret = (struct fsstate_lock){ .node = get32(r, &bad) };
	ret->write = get_small(r, 1, &bad);
	ret->pid = (int32_t)get32(r, &bad);
	ret->owner = get(r, 8, &bad);
	ret->first = (int64_t)get(r, 8, &bad);
	ret->last = (int64_t)get(r, 8, &bad);
	return bad || !lock_ok(ret) ? -EBADMSG : 0;
}

int fsstate_get_wait(struct fsstate_reader *r, struct fsstate_wait *ret)
{
	bool bad = false;

	ret->unique = get(r, 8, &bad);
	ret->node_id = get(r, 8, &bad);
	get_bytes(r, ret->lk, sizeof(ret->lk), &bad);
	return bad ? -EBADMSG : 0;
}

/* All records, so that nothing is taken over of what ends in the middle. */
static int walk(struct fsstate_reader r, const struct fsstate_head *h)
{
	struct fsstate_root root;
	struct fsstate_node node;
	struct fsstate_content content;
	struct fsstate_handle handle;
	struct fsstate_lock lock;
	struct fsstate_wait wait;
	int e = 0;

	for (uint32_t i = 0; e == 0 && i < h->nroots; i++)
		e = fsstate_get_root(&r, &root);
	for (uint32_t i = 0; e == 0 && i < h->nnodes; i++)
		e = fsstate_get_node(&r, &node);
	for (uint32_t i = 0; e == 0 && i < h->ncontents; i++)
		e = fsstate_get_content(&r, &content);
	for (uint32_t i = 0; e == 0 && i < h->nhandles; i++)
		e = fsstate_get_handle(&r, &handle);
	for (uint32_t i = 0; e == 0 && i < h->nlocks; i++)
		e = fsstate_get_lock(&r, &lock);
	for (uint32_t i = 0; e == 0 && i < h->nwaits; i++)
		e = fsstate_get_wait(&r, &wait);
	return e == 0 && r.at != r.end ? -EBADMSG : e;
}

int fsstate_open(const uint8_t *bytes, size_t n, struct fsstate_head *ret, struct fsstate_reader *ret_reader)
{
	struct fsstate_reader r = { bytes, bytes + n };
	struct fsstate_head h;
	uint32_t version, crc;
	uint64_t length;
	bool bad = false;
	int e;

	if (n > FSSTATE_MAX_BYTES)
		return -EMSGSIZE;
	if (n < HEAD_BYTES || memcmp(bytes, MAGIC, 8) != 0)
		return -EBADMSG;
	r.at += 8;
	version = get32(&r, &bad);
	crc = get32(&r, &bad);
	length = get(&r, 8, &bad);
	if (version != VERSION)
		return -EPROTONOSUPPORT;
	if (length != n || crc != crc32_of(bytes + COVERED, n - COVERED))
		return -EBADMSG;
	h.nroots = get32(&r, &bad);
	h.nnodes = get32(&r, &bad);
	h.ncontents = get32(&r, &bad);
	h.nhandles = get32(&r, &bad);
	h.nlocks = get32(&r, &bad);
	h.nwaits = get32(&r, &bad);
	h.node_gen = get32(&r, &bad);
	h.handle_gen = get32(&r, &bad);
	get_bytes(&r, h.offer, sizeof(h.offer), &bad);
	get_bytes(&r, h.agreed, sizeof(h.agreed), &bad);
	if (bad || !counts_ok(&h))
		return -EBADMSG;
	e = walk(r, &h);
	if (e < 0)
		return e;
	*ret = h;
	*ret_reader = r;
	return 0;
}
