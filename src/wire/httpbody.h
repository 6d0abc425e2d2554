/* SPDX-License-Identifier: Apache-2.0
 *
 * httpbody: where the body of an HTTP/1.x message ends (RFC 9112 6, 7), decoder and encoder. No I/O, no copies, no allocation: what
 * is decoded are pieces of the bytes fed.
 *
 * Chunks are read strictly: 1-16 hexadecimal digits, CRLF after size and data and nothing else. Extensions are dropped (at most
 * HTTPBODY_EXTRA_MAX bytes of them in one body); trailers are checked like fields, bounded likewise, and dropped: no field of a trailer is ever
 * merged into a head.
 *
 *	httpbody_init(&b, msg.body, msg.length);
 *	while (n > 0 && !b.done) {
 *		long r = httpbody_feed(&b, bytes, n, &piece);      // negative: cut both connections
 *		if (piece.n) ...                                   // pass on
 *		bytes += r, n -= r;
 *	}
 */
#ifndef SBX_WIRE_HTTPBODY_H
#define SBX_WIRE_HTTPBODY_H

#include "base/buf.h"
#include "wire/httpmsg.h"

#define HTTPBODY_EXTRA_MAX 16384 /* extensions and trailers of one body */
#define HTTPBODY_TRAILERS_MAX 64

struct httpbody {
	enum httpmsg_body kind;
	uint64_t left; /* of the length or the chunk */
	uint64_t total;    /* body bytes so far */
	uint32_t extra;    /* bytes of extensions and trailers */
	uint16_t trailers; /* fields of the trailer section: they were dropped */
	uint8_t state;
	uint8_t digits;
	bool done;
};

struct httpbody_piece {
	const uint8_t *bytes; /* within what was fed */
	size_t n;
};

/* A body without bytes (NONE, LENGTH 0) is done at once. */
void httpbody_init(struct httpbody *b, enum httpmsg_body kind, uint64_t length);
/* One step: how many bytes it took (at least one, at most n), and in *ret the body bytes among them, perhaps none. Not after done. -EPROTO: no
 * chunk, or what came cannot be framed; the body is cut then. */
long httpbody_feed(struct httpbody *b, const void *bytes, size_t n, struct httpbody_piece *ret);
/* The peer ended: 0 where that ends the body (EOF; then it is done) or it was done, else -EPROTO: cut off. */
int httpbody_eof(struct httpbody *b);

/* Writes a body of a kind; `left` counts down where a length was announced. */
struct httpbody_writer {
	enum httpmsg_body kind;
	uint64_t left;
};

void httpbody_writer_init(struct httpbody_writer *w, enum httpmsg_body kind, uint64_t length);
/* Most bytes that n body bytes take, framed. */
size_t httpbody_framed(const struct httpbody_writer *w, size_t n);
/* Appends n bytes, framed. -EPROTO: more than was announced. -EMSGSIZE, -ENOMEM: nothing was appended. */
int httpbody_write(struct httpbody_writer *w, struct buf *out, const void *bytes, size_t n);
/* Appends what ends the body. -EPROTO: less came than was announced, the connection must be cut. For a body that EOF ends, the caller closes. */
int httpbody_finish(struct httpbody_writer *w, struct buf *out);

#endif
