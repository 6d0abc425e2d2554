/* SPDX-License-Identifier: Apache-2.0
 *
 * buf: a byte queue with a maximum. Bytes enter at the tail (append) and leave at the head (consume). The
 * maximum is given at creation; an append that would pass it fails with -EMSGSIZE and changes nothing, so
 * that what a peer sizes is always bounded. All allocation failures are -ENOMEM.
 */
#ifndef SBX_BASE_BUF_H
#define SBX_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *data; /* owned */
	size_t head;   /* first byte that was not consumed */
	size_t tail;   /* one past the last byte */
	size_t cap;
	size_t max; /* most bytes held at once */
};

void buf_init(struct buf *b, size_t max_bytes);
void buf_done(struct buf *b); /* frees; the buf is empty and usable again with the same maximum */

static inline size_t buf_len(const struct buf *b)
{
	return b->tail - b->head;
}
static inline size_t buf_room(const struct buf *b)
{
	return b->max - buf_len(b);
}
static inline const uint8_t *buf_bytes(const struct buf *b)
{
	return b->data ? b->data + b->head : (const uint8_t *)"";
}

int buf_append(struct buf *b, const void *bytes, size_t n);
int buf_append_str(struct buf *b, const char *s);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int buf_vprintf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* A place to write up to n bytes into; buf_commit says how many arrived. NULL where n does not fit. */
uint8_t *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);
void buf_consume(struct buf *b, size_t n); /* n <= buf_len */
/* The content as a NUL-terminated string, valid until the next call; NULL on -ENOMEM. */
const char *buf_cstr(struct buf *b);

#endif
