/* SPDX-License-Identifier: Apache-2.0
 *
 * h1: what both codecs of HTTP/1.1 (h1f, h1b) are made of: a message read out of a chan's bytes and given to an exchange, a
 * message of an exchange written to a chan. No copies of bodies; what the exchange does not take stays in the chan.
 */
#ifndef SBX_PROXY_H1_H
#define SBX_PROXY_H1_H

#include "proxy/chan.h"
#include "proxy/exchange.h"
#include "wire/httpbody.h"
#include "wire/httphead.h"

#define H1_WINDOW (64 * 1024) /* the most that one direction of a message has waiting in a chan */

struct h1_in {
	struct httphead head;
	struct httpmsg msg;
	struct httpbody body;
	size_t owed; /* body bytes that were decoded and that the exchange has not taken: they come first again */
	size_t skip; /* decoded framing that follows them */
};

static inline void h1_in_body_begin(struct h1_in *in)
{
	httpbody_init(&in->body, in->msg.body, in->msg.length);
	in->owed = in->skip = 0;
}
static inline bool h1_in_body_done(const struct h1_in *in)
{
	return in->body.done && in->owed == 0 && in->skip == 0;
}
/* Body bytes to the exchange, until it takes less than offered or the body is complete. How many of the n bytes are done with, or
 * -EPROTO. Does not call exchange_end. */
long h1_in_body(struct h1_in *in, struct exchange *x, enum exchange_side from, const uint8_t *bytes, size_t n);

struct h1_out {
	struct chan *chan;      /* borrowed */
	struct buf pending;     /* heads and ends, waiting for body bytes to go with, or for room */
	enum httpmsg_body kind; /* of the body that is being written; NONE, EOF: as it is */
	uint64_t left;
};

void h1_out_init(struct h1_out *o, struct chan *chan);
void h1_out_done(struct h1_out *o);
/* After a head was appended to pending. */
static inline void h1_out_body(struct h1_out *o, enum httpmsg_body kind, uint64_t length)
{
	o->kind = kind;
	o->left = length;
}
/* Body bytes, framed, behind what is pending. How many were taken: all, or the chan's `writable` comes. More than the length
 * that was announced is -EPROTO. */
long h1_out_data(struct h1_out *o, const uint8_t *bytes, size_t n);
/* The body's end; -EPROTO where bytes of the announced length are missing. */
int h1_out_end(struct h1_out *o);
/* When the chan is `writable`: whether it pays to offer more; else it will be again. */
bool h1_out_has_room(struct h1_out *o);
/* Writes what is pending; true: nothing is left. */
bool h1_out_flush(struct h1_out *o);

#endif
