/* SPDX-License-Identifier: Apache-2.0
 *
 * wsframe: see wsframe.h.
 */
#include "wire/wsframe.h"

#include <errno.h>

enum { FIN = 0x80, RSV1 = 0x40, RSV23 = 0x30, OPCODE = 0x0f, MASK = 0x80, LENGTH = 0x7f };
enum { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PONG = 10 };

void wsframe_init(struct wsframe *w, enum wsframe_from from, bool deflate)
{
	*w = (struct wsframe){ .masked = from == WSFRAME_CLIENT, .deflate = deflate, .head_need = 2 };
}

/* The first two bytes. */
static bool start_ok(struct wsframe *w)
{
	uint8_t b = w->head[0], len = w->head[1] & LENGTH, op = b & OPCODE;
	bool control = op >= CLOSE, fin = b & FIN;

	if (w->closed || (b & RSV23) || ((w->head[1] & MASK) != 0) != w->masked)
		return false;
	if (control ? op > PONG || !fin || len > 125 : op > BINARY)
		return false;
	if ((b & RSV1) && (!w->deflate || control || op == CONTINUATION))
		return false;
	if (!control && (op == CONTINUATION) != w->in_message)
		return false;
	if (!control)
		w->in_message = !fin;
	w->closed = op == CLOSE;
	w->head_need = (uint8_t)(2 + (len == 126 ? 2 : len == 127 ? 8 : 0) + (w->masked ? 4 : 0));
	return true;
}

/* All of the header. */
static bool length_ok(struct wsframe *w)
{
	uint8_t len = w->head[1] & LENGTH;
	unsigned int n = len == 126 ? 2 : len == 127 ? 8 : 0;
	uint64_t v = 0;

	for (unsigned int i = 0; i < n; i++)
		v = v << 8 | w->head[2 + i];
	if ((n == 2 && v < 126) || (n == 8 && (v <= UINT16_MAX || v >> 63)))
		return false;
	w->left = n ? v : len;
	return true;
}

int wsframe_feed(struct wsframe *w, const uint8_t *bytes, size_t n)
{
	if (w->dead)
		return -EPROTO;
	while (n > 0) {
		if (w->left > 0) {
			size_t len = w->left < n ? (size_t)w->left : n;

			w->left -= len;
			bytes += len;
			n -= len;
			continue;
		}
		w->head[w->head_n++] = *bytes++;
		n--;
		w->dead = (w->head_n == 2 && !start_ok(w)) || (w->head_n == w->head_need && w->head_n > 2 && !length_ok(w));
		if (w->dead)
			return -EPROTO;
		if (w->head_n < w->head_need)
			continue;
		if (w->head_need == 2)
			w->left = w->head[1] & LENGTH;
		w->head_n = 0;
		w->head_need = 2;
	}
	return 0;
}
