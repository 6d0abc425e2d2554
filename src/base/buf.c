/* SPDX-License-Identifier: Apache-2.0
 *
 * buf: see buf.h. The storage grows by doubling and is compacted when the head has moved past half of it.
 */
#include "base/buf.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *b, size_t max_bytes)
{
	*b = (struct buf){ .max = max_bytes };
}

void buf_done(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ .max = b->max };
}

/* Makes room for n bytes at the tail, one more for a terminator. */
static int grow(struct buf *b, size_t n)
{
	size_t len = buf_len(b), need, cap;
	uint8_t *data;

	if (n > b->max - len)
		return -EMSGSIZE;
	if (b->tail + n < b->cap)
		return 0;
	if (b->head > 0) {
		memmove(b->data, b->data + b->head, len);
		b->head = 0;
		b->tail = len;
	}
	need = len + n + 1;
	if (need <= b->cap)
		return 0;
	cap = b->cap ? b->cap : 256;
	while (cap < need)
		cap *= 2;
	data = realloc(b->data, cap);
	if (!data)
		return -ENOMEM;
	b->data = data;
	b->cap = cap;
	return 0;
}

int buf_append(struct buf *b, const void *bytes, size_t n)
{
	int r;

	if (n == 0)
		return 0;
	r = grow(b, n);
	if (r < 0)
		return r;
	memcpy(b->data + b->tail, bytes, n);
	b->tail += n;
	return 0;
}

int buf_append_str(struct buf *b, const char *s)
{
	return buf_append(b, s, strlen(s));
}

int buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n, r;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0)
		return -EINVAL;
	r = grow(b, (size_t)n);
	if (r < 0)
		return r;
	if (n > 0) {
		(void)vsnprintf((char *)b->data + b->tail, (size_t)n + 1, fmt, ap);
		b->tail += (size_t)n;
	}
	return 0;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = buf_vprintf(b, fmt, ap);
	va_end(ap);
	return r;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
	return grow(b, n) < 0 ? NULL : b->data + b->tail;
}

void buf_commit(struct buf *b, size_t n)
{
	assert(n <= b->cap - b->tail);
	b->tail += n;
}

void buf_consume(struct buf *b, size_t n)
{
	assert(n <= buf_len(b));
	b->head += n;
	if (b->head == b->tail)
		b->head = b->tail = 0;
}

const char *buf_cstr(struct buf *b)
{
	if (!b->data && grow(b, 0) < 0)
		return NULL;
	b->data[b->tail] = 0;
	return (const char *)b->data + b->head;
}
