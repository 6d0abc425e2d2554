/* SPDX-License-Identifier: Apache-2.0
 *
 * h1: see h1.h.
 */
#include "proxy/h1.h"

#include <errno.h>

#include "base/str.h"

#define CHUNK_FRAME 32 /* more than the size line and the CRLF of a chunk */
#define REFILL_AT (24 * 1024)
#define KEEP_MAX 4096  /* of pending's memory, between messages */

/* --- in --- */

/* What was decoded before and is still owed; false: the exchange takes no more for now. */
static bool pay(struct h1_in *in, struct exchange *x, enum exchange_side from, const uint8_t *bytes, size_t n, size_t *used)
{
	size_t len = in->owed < n ? in->owed : n, took = len > 0 ? exchange_data(x, from, bytes, len) : 0;

	in->owed -= took;
	*used += took;
	if (took < len || in->owed > 0)
		return false;
	len = in->skip < n - took ? in->skip : n - took;
	in->skip -= len;
	*used += len;
	return in->skip == 0;
}

long h1_in_body(struct h1_in *in, struct exchange *x, enum exchange_side from, const uint8_t *bytes, size_t n)
{
	size_t used = 0;

	if (!pay(in, x, from, bytes, n, &used))
		return (long)used;
	while (used < n && !in->body.done) {
		struct httpbody_piece piece = { 0 };
		long r = httpbody_feed(&in->body, bytes + used, n - used, &piece);
		size_t before;

		if (r < 0)
			return r;
		if (piece.n == 0) {
			used += (size_t)r;
			continue;
		}
		before = (size_t)(piece.bytes - (bytes + used));
		in->owed = piece.n;
		in->skip = (size_t)r - before - piece.n;
		used += before;
		if (!pay(in, x, from, bytes + used, n - used, &used))
			break;
	}
	return (long)used;
}

/* --- out --- */

void h1_out_init(struct h1_out *o, struct chan *chan)
{
	*o = (struct h1_out){ .chan = chan, .kind = HTTPMSG_BODY_NONE };
	buf_init(&o->pending, HTTPMSG_RESPONSE_HEAD_MAX + 8192);
}

void h1_out_done(struct h1_out *o)
{
	buf_done(&o->pending);
}

/* How much the window leaves now: nothing, or enough for what TLS delivers at once and a head, so that this is mostly taken whole and
 * not kept in parts. */
static size_t window(struct chan *c)
{
	size_t room = chan_room(c), waiting = room < CHAN_OUT ? CHAN_OUT - room : 0;

	if (waiting > REFILL_AT)
		return 0;
	return room < H1_WINDOW - waiting ? room : H1_WINDOW - waiting;
}

static void flushed(struct h1_out *o, size_t n)
{
	buf_consume(&o->pending, n);
	if (buf_len(&o->pending) == 0 && o->pending.cap > KEEP_MAX)
		buf_done(&o->pending);
}

bool h1_out_flush(struct h1_out *o)
{
	if (buf_len(&o->pending) > 0)
		flushed(o, chan_write(o->chan, buf_bytes(&o->pending), buf_len(&o->pending)));
	return buf_len(&o->pending) == 0;
}

bool h1_out_has_room(struct h1_out *o)
{
	if (window(o->chan) > 0)
		return true;
	chan_want_room(o->chan);
	return false;
}

/* One piece of up to n bytes with its frame, behind what is pending; 0: no room. */
static size_t write_piece(struct h1_out *o, const uint8_t *bytes, size_t n)
{
	size_t head = buf_len(&o->pending), room = window(o->chan), frame = o->kind == HTTPMSG_BODY_CHUNKED ? CHUNK_FRAME : 0, total;
	char size[CHUNK_FRAME] = "";
	struct iovec iov[4];

	if (room <= head + frame) {
		chan_want_room(o->chan);
		return 0;
	}
	if (n > room - head - frame)
		n = room - head - frame;
	if (frame)
		(void)str_format(size, sizeof(size), "%zx\r\n", n);
	iov[0] = (struct iovec){ .iov_base = (void *)(uintptr_t)buf_bytes(&o->pending), .iov_len = head };
	iov[1] = (struct iovec){ .iov_base = size, .iov_len = __builtin_strlen(size) };
	iov[2] = (struct iovec){ .iov_base = (void *)(uintptr_t)bytes, .iov_len = n };
	iov[3] = (struct iovec){ .iov_base = (void *)"\r\n", .iov_len = frame ? 2 : 0 };
	total = head + iov[1].iov_len + n + iov[3].iov_len;
	/* There was room; less is taken only by a chan that has failed, of which `closed` tells. */
	if (chan_writev(o->chan, iov, 4) < total)
		return 0;
	flushed(o, head);
	return n;
}

long h1_out_data(struct h1_out *o, const uint8_t *bytes, size_t n)
{
	size_t took = 0, one = 1;

	if (o->kind == HTTPMSG_BODY_LENGTH && n > o->left)
		return -EPROTO;
	if (buf_len(&o->pending) > H1_WINDOW / 2 && !h1_out_flush(o))
		return 0;
	/* Until all is taken, or something waits in the chan: else nothing would call `writable`. */
	while (took < n && (one = write_piece(o, bytes + took, n - took)) > 0)
		took += one;
	if (o->kind == HTTPMSG_BODY_LENGTH)
		o->left -= took;
	return (long)took;
}

int h1_out_end(struct h1_out *o)
{
	if (o->kind == HTTPMSG_BODY_LENGTH && o->left > 0)
		return -EPROTO;
	if (o->kind == HTTPMSG_BODY_CHUNKED && buf_append_str(&o->pending, "0\r\n\r\n") < 0)
		return -ENOMEM;
	o->kind = HTTPMSG_BODY_NONE;
	(void)h1_out_flush(o);
	return 0;
}
