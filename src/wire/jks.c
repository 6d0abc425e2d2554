/* SPDX-License-Identifier: Apache-2.0
 *
 * jks: see jks.h. The store is walked once to see what is in it, and copied in the stretches between what is dropped.
 * SHA-1 stands here because nothing else of the guest needs it: it authenticates nothing, Java only refuses a store without.
 */
#include "wire/jks.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/str.h"

#define MAGIC 0xfeedfeedU
#define HEAD_BYTES 12
#define SUM_BYTES 20
#define TAG_KEY 1
#define TAG_CERT 2
#define ALIAS_MAX 64
#define X509 "X.509"
#define PASSWORD "\0c\0h\0a\0n\0g\0e\0i\0t"
#define WHITENER "Mighty Aphrodite"

/* --- SHA-1 (FIPS 180-4) --- */

struct sha1 {
	uint32_t h[5];
	uint8_t block[64];
	uint64_t bytes;
};

static uint32_t rotate(uint32_t v, unsigned n)
{
	return v << n | v >> (32 - n);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(uint8_t *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void sha1_block(struct sha1 *s)
{
	static const uint32_t k[4] = { 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6 };
	uint32_t w[80], a = s->h[0], b = s->h[1], c = s->h[2], d = s->h[3], e = s->h[4];

	for (unsigned i = 0; i < 80; i++)
		w[i] = i < 16 ? get32(s->block + 4 * (size_t)i) : rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	for (unsigned i = 0; i < 80; i++) {
		uint32_t f = i < 20 ? (b & c) | (~b & d) : i >= 40 && i < 60 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
		uint32_t t = rotate(a, 5) + f + e + k[i / 20] + w[i];

		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = t;
	}
	s->h[0] += a;
	s->h[1] += b;
	s->h[2] += c;
	s->h[3] += d;
	s->h[4] += e;
}

static void sha1_add(struct sha1 *s, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < n; i++) {
		s->block[s->bytes++ % 64] = p[i];
		if (s->bytes % 64 == 0)
			sha1_block(s);
	}
}

static void sha1_end(struct sha1 *s, uint8_t ret[SUM_BYTES])
{
	static const uint8_t one = 0x80, zero = 0;
	uint64_t bits = s->bytes * 8;
	uint8_t length[8];

	sha1_add(s, &one, 1);
	while (s->bytes % 64 != 56)
		sha1_add(s, &zero, 1);
	put32(length, (uint32_t)(bits >> 32));
	put32(length + 4, (uint32_t)bits);
	sha1_add(s, length, sizeof(length));
	for (size_t i = 0; i < 5; i++)
		put32(ret + 4 * i, s->h[i]);
}

static void checksum(const uint8_t *bytes, size_t n, uint8_t ret[SUM_BYTES])
{
	struct sha1 s = { .h = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 } };

	sha1_add(&s, PASSWORD, sizeof(PASSWORD) - 1);
	sha1_add(&s, WHITENER, sizeof(WHITENER) - 1);
	sha1_add(&s, bytes, n);
	sha1_end(&s, ret);
}

/* --- the store --- */

struct reader {
	const uint8_t *p;
	size_t left;
};

struct entry {
	const uint8_t *start, *alias, *der; /* der: NULL for a key */
	size_t n, alias_n, der_n;
};

/* The next n bytes, NULL where there are not as many. */
static const uint8_t *take(struct reader *r, size_t n)
{
	const uint8_t *p = r->p;

	if (n > r->left)
		return NULL;
	r->p += n;
	r->left -= n;
	return p;
}

/* A length of `width` bytes and as many bytes: NULL where they are not there. */
static const uint8_t *take_counted(struct reader *r, size_t width, size_t *ret_n)
{
	const uint8_t *p = take(r, width);

	if (!p)
		return NULL;
	*ret_n = width == 2 ? (size_t)p[0] << 8 | p[1] : get32(p);
	return take(r, *ret_n);
}

static const uint8_t *take_cert(struct reader *r, uint32_t version, size_t *ret_n)
{
	size_t n;

	return version == 2 && !take_counted(r, 2, &n) ? NULL : take_counted(r, 4, ret_n);
}

static int take_entry(struct reader *r, uint32_t version, struct entry *e)
{
	const uint8_t *tag = take(r, 4), *count;
	size_t n;

	*e = (struct entry){ .start = tag };
	if (!tag || !(e->alias = take_counted(r, 2, &e->alias_n)) || !take(r, 8))
		return -EINVAL;
	if (get32(tag) == TAG_CERT) {
		if (!(e->der = take_cert(r, version, &e->der_n)))
			return -EINVAL;
	} else {
		if (get32(tag) != TAG_KEY || !take_counted(r, 4, &n) || !(count = take(r, 4)))
			return -EINVAL;
		for (uint32_t i = get32(count); i > 0; i--)
			if (!take_cert(r, version, &n))
				return -EINVAL;
	}
	e->n = (size_t)(r->p - e->start);
	return 0;
}

static bool is_ours(const struct entry *e, const struct jks_change *c)
{
	size_t n = strlen(c->alias);

	return e->alias_n >= n && memcmp(e->alias, c->alias, n) == 0;
}

static bool is_cert(const struct entry *e, const struct jks_cert *c)
{
	return e->der && e->der_n == c->n && memcmp(e->der, c->der, c->n) == 0;
}

static int append32(struct buf *b, uint32_t v)
{
	uint8_t bytes[4];

	put32(bytes, v);
	return buf_append(b, bytes, sizeof(bytes));
}

static int append_text(struct buf *b, const char *s)
{
	size_t n = strlen(s);
	uint8_t length[2] = { (uint8_t)(n >> 8), (uint8_t)n };
	int r = buf_append(b, length, sizeof(length));

	return r < 0 ? r : buf_append(b, s, n);
}

static int append_cert(struct buf *b, uint32_t version, const struct jks_change *c, size_t i)
{
	char alias[ALIAS_MAX + 8];
	int r = i == 0 ? str_format(alias, sizeof(alias), "%s", c->alias) :
			 str_format(alias, sizeof(alias), "%s.%zu", c->alias, i + 1);

	if (r < 0 || (r = append32(b, TAG_CERT)) < 0 || (r = append_text(b, alias)) < 0 ||
	    (r = append32(b, (uint32_t)((uint64_t)c->now_ms >> 32))) < 0 || (r = append32(b, (uint32_t)c->now_ms)) < 0 ||
	    (version == 2 && (r = append_text(b, X509)) < 0) || (r = append32(b, (uint32_t)c->certs[i].n)) < 0)
		return r;
	return buf_append(b, c->certs[i].der, c->certs[i].n);
}

struct walked {
	uint32_t version, kept;
	bool same; /* what the change would put in is what is there */
};

/* Appends the entries that stay, after a head to be filled in. */
static int copy(struct reader r, const struct jks_change *c, struct walked *w, struct buf *out)
{
	const uint8_t *head = take(&r, HEAD_BYTES);
	size_t ours = 0;
	struct entry e;
	int err;

	*w = (struct walked){ .version = get32(head + 4), .same = true };
	err = buf_append(out, head, HEAD_BYTES);
	for (uint32_t i = get32(head + 8); i > 0 && err == 0; i--) {
		err = take_entry(&r, w->version, &e);
		if (err < 0)
			return err;
		if (is_ours(&e, c)) {
			w->same = w->same && ours < c->ncerts && is_cert(&e, &c->certs[ours]);
			ours++;
		} else {
			w->kept++;
			err = buf_append(out, e.start, e.n);
		}
	}
	w->same = w->same && ours == c->ncerts;
	return err < 0 ? err : r.left == 0 ? 0 : -EINVAL;
}

/* The new store's bytes in b: as jks_put. */
static int renew(const uint8_t *store, size_t n, const struct jks_change *change, struct buf *b)
{
	uint8_t sum[SUM_BYTES];
	struct walked w;
	int r = copy((struct reader){ store, n }, change, &w, b);

	if (r < 0)
		return r;
	checksum(store, n, sum);
	if (memcmp(sum, store + n, SUM_BYTES) != 0)
		return -EACCES;
	if (w.same)
		return 0;
	for (size_t i = 0; i < change->ncerts; i++)
		if ((r = append_cert(b, w.version, change, i)) < 0)
			return r;
	put32(b->data + b->head + 8, w.kept + (uint32_t)change->ncerts);
	checksum(buf_bytes(b), buf_len(b), sum);
	r = buf_append(b, sum, sizeof(sum));
	return r < 0 ? r : 1;
}

int jks_put(const uint8_t *store, size_t n, const struct jks_change *change, struct buf *out)
{
	struct buf b;
	int r;

	if (change->ncerts > JKS_CERTS_MAX || strlen(change->alias) > ALIAS_MAX || n < HEAD_BYTES + SUM_BYTES ||
	    get32(store) != MAGIC || (get32(store + 4) != 1 && get32(store + 4) != 2))
		return -EINVAL;
	buf_init(&b, buf_room(out));
	r = renew(store, n - SUM_BYTES, change, &b);
	if (r == 1 && buf_append(out, buf_bytes(&b), buf_len(&b)) < 0)
		r = -ENOMEM;
	buf_done(&b);
	return r;
}
