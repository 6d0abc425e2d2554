/* SPDX-License-Identifier: Apache-2.0
 *
 * httpbody: see httpbody.h. Enters: what follows a head. Leaves: the body's bytes without their framing, and whether it ended. The decoder's
 * state is that of the byte that comes next; it never looks back.
 */
#include "wire/httpbody.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CHUNK_HEAD_MAX 18 /* 16 digits, CRLF */

enum state {
	SIZE,       /* a digit of a chunk's size, or what ends it */
	EXTENSION,  /* up to CR */
	SIZE_LF,
	DATA,       /* `left` bytes of a chunk, of the length, or without end */
	DATA_CR,
	DATA_LF,
	TRAILER,    /* the first byte of a trailer line */
	NAME,       /* up to ':' */
	VALUE,      /* up to CR */
	VALUE_LF,
	LAST_LF,
};

void httpbody_init(struct httpbody *b, enum httpmsg_body kind, uint64_t length)
{
	*b = (struct httpbody){ .kind = kind, .state = DATA };
	if (kind == HTTPMSG_BODY_LENGTH)
		b->left = length;
	else if (kind == HTTPMSG_BODY_EOF)
		b->left = UINT64_MAX;
	else if (kind == HTTPMSG_BODY_CHUNKED)
		b->state = SIZE;
	b->done = b->left == 0 && kind != HTTPMSG_BODY_CHUNKED;
}

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int size_byte(struct httpbody *b, uint8_t c)
{
	int digit = hex(c);

	if (digit >= 0) {
		if (b->digits == 16 || b->left > INT64_MAX >> 4)
			return -EPROTO;
		b->digits++;
		b->left = b->left << 4 | (uint64_t)digit;
		return 0;
	}
	if (b->digits == 0 || (c != '\r' && c != ';'))
		return -EPROTO;
	b->state = c == '\r' ? SIZE_LF : EXTENSION;
	return 0;
}

static void after_size(struct httpbody *b)
{
	b->state = b->left > 0 ? DATA : TRAILER;
	b->digits = 0;
}

/* A byte of an extension or a trailer, within their bound. */
static int extra_byte(struct httpbody *b, uint8_t c)
{
	char byte = (char)c;

	return ++b->extra <= HTTPBODY_EXTRA_MAX && httpmsg_is_value(&byte, 1) ? 0 : -EPROTO;
}

static int trailer_byte(struct httpbody *b, uint8_t c)
{
	char byte = (char)c;

	switch (b->state) {
	case TRAILER:
		if (c == '\r') {
			b->state = LAST_LF;
			return 0;
		}
		if (!httpmsg_is_token(&byte, 1) || ++b->trailers > HTTPBODY_TRAILERS_MAX)
			return -EPROTO;
		b->state = NAME;
		return extra_byte(b, c);
	case NAME:
		if (c == ':')
			b->state = VALUE;
		else if (!httpmsg_is_token(&byte, 1))
			return -EPROTO;
		return extra_byte(b, c);
	default: /* VALUE */
		if (c == '\r') {
			b->state = VALUE_LF;
			return 0;
		}
		return extra_byte(b, c);
	}
}

/* One byte of chunked framing. */
static int frame_byte(struct httpbody *b, uint8_t c)
{
	switch ((enum state)b->state) {
	case SIZE:
		return size_byte(b, c);
	case EXTENSION:
		if (c != '\r')
			return extra_byte(b, c);
		b->state = SIZE_LF;
		return 0;
	case DATA_CR:
		b->state = DATA_LF;
		return c == '\r' ? 0 : -EPROTO;
	case SIZE_LF:
	case DATA_LF:
	case VALUE_LF:
	case LAST_LF:
		if (c != '\n')
			return -EPROTO;
		b->done = b->state == LAST_LF;
		if (b->state == SIZE_LF)
			after_size(b);
		else
			b->state = b->state == DATA_LF ? SIZE : TRAILER;
		return 0;
	case TRAILER:
	case NAME:
	case VALUE:
		return trailer_byte(b, c);
	case DATA:
		break;
	}
	return -EPROTO;
}

static size_t take_data(struct httpbody *b, const uint8_t *s, size_t n, struct httpbody_piece *ret)
{
	size_t take = b->left < n ? (size_t)b->left : n;

	*ret = (struct httpbody_piece){ s, take };
	b->total += take;
	if (b->kind == HTTPMSG_BODY_EOF)
		return take;
	b->left -= take;
	if (b->left == 0) {
		b->done = b->kind == HTTPMSG_BODY_LENGTH;
		b->state = DATA_CR;
	}
	return take;
}

long httpbody_feed(struct httpbody *b, const void *bytes, size_t n, struct httpbody_piece *ret)
{
	const uint8_t *s = bytes;
	size_t at = 0;

	assert(!b->done && n > 0);
	*ret = (struct httpbody_piece){ s, 0 };
	/* The framing before the data and the data in one step. */
	while (at < n && !b->done && b->state != DATA) {
		int r = frame_byte(b, s[at++]);

		if (r < 0)
			return r;
	}
	if (at < n && !b->done)
		at += take_data(b, s + at, n - at, ret);
	return (long)at;
}

int httpbody_eof(struct httpbody *b)
{
	if (b->kind == HTTPMSG_BODY_EOF)
		b->done = true;
	return b->done ? 0 : -EPROTO;
}

void httpbody_writer_init(struct httpbody_writer *w, enum httpmsg_body kind, uint64_t length)
{
	*w = (struct httpbody_writer){ .kind = kind, .left = kind == HTTPMSG_BODY_LENGTH ? length : 0 };
}

size_t httpbody_framed(const struct httpbody_writer *w, size_t n)
{
	return w->kind == HTTPMSG_BODY_CHUNKED && n > 0 ? n + CHUNK_HEAD_MAX + 2 : n;
}

static int write_chunk(struct buf *out, const void *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	size_t room = n + CHUNK_HEAD_MAX + 2, count = 1;
	uint8_t *begin, *p;

	if (room > buf_room(out) || room < n)
		return -EMSGSIZE;
	begin = p = buf_reserve(out, room);
	if (!p)
		return -ENOMEM;
	while (count < 16 && n >> (4 * count))
		count++;
	while (count-- > 0)
		*p++ = (uint8_t)digits[(n >> (4 * count)) & 15];
	*p++ = '\r';
	*p++ = '\n';
	memcpy(p, bytes, n);
	p += n;
	*p++ = '\r';
	*p++ = '\n';
	buf_commit(out, (size_t)(p - begin));
	return 0;
}

int httpbody_write(struct httpbody_writer *w, struct buf *out, const void *bytes, size_t n)
{
	int r;

	if (n == 0)
		return 0;
	if (w->kind == HTTPMSG_BODY_NONE || (w->kind == HTTPMSG_BODY_LENGTH && n > w->left))
		return -EPROTO;
	if (w->kind == HTTPMSG_BODY_CHUNKED)
		return write_chunk(out, bytes, n);
	r = buf_append(out, bytes, n);
	if (r == 0 && w->kind == HTTPMSG_BODY_LENGTH)
		w->left -= n;
	return r;
}

int httpbody_finish(struct httpbody_writer *w, struct buf *out)
{
	if (w->kind == HTTPMSG_BODY_CHUNKED)
		return buf_append(out, "0\r\n\r\n", 5);
	return w->left > 0 ? -EPROTO : 0;
}
