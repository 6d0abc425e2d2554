/* SPDX-License-Identifier: Apache-2.0
 *
 * h2head: the head, or the trailers, of an HTTP/2 message (RFC 9113, section 8) to and from struct httpmsg. HPACK and frames are
 * nghttp2's; here are the fields that come out of it, one after the other. No I/O.
 *
 * One reading or none. Refused with 400, for which HTTP/2 resets the stream: pseudo-fields that are unknown (":protocol" of extended
 * CONNECT among them), come twice, come behind a field or in trailers, are those of the other kind of message, or are not all there;
 * a :scheme that is not the connection's; CONNECT with :scheme or :path; upper case in a name; white space around a value; what
 * httpmsg_complete refuses of HTTP/2: fields of a connection, Transfer-Encoding, TE other than trailers, a Host that is not
 * :authority, a Content-Length that does not fit. Bounds: those of httpmsg.h (431, 414), counted with HPACK's 32 bytes per field.
 *
 * Pieces of one Cookie become one field again (RFC 9113, 8.2.3), so that a server that speaks HTTP/1.1 sees what it would have seen.
 */
#ifndef SBX_WIRE_H2HEAD_H
#define SBX_WIRE_H2HEAD_H

#include <nghttp2/nghttp2.h>

#include "base/buf.h"
#include "wire/httpmsg.h"

enum h2head_part { H2HEAD_HEAD, H2HEAD_TRAILERS };

struct h2head {
	struct httpmsg *msg; /* borrowed */
	enum h2head_part part;
	struct httpmsg_refusal why; /* status 0: none yet */
	uint8_t pseudo;             /* which came */
	bool regular;               /* a field came: no pseudo-field any more */
	size_t bytes;               /* as HPACK counts, those past the bound included */
	struct buf path;            /* owned; kept until the method is known */
	struct buf cookie;          /* owned */
};

/* Resets msg, whose kind says what is expected. scheme: of the connection. Of a response call httpmsg_answers next. */
void h2head_init(struct h2head *h, struct httpmsg *msg, enum h2head_part part, enum dest_scheme scheme);
void h2head_done(struct h2head *h);
/* One field, in order. After a refusal the rest is only counted. */
void h2head_field(struct h2head *h, const uint8_t *name, size_t name_n, const uint8_t *value, size_t value_n);
/* Something was seen that makes the message malformed; why is static. */
void h2head_malformed(struct h2head *h, const char *why);
/* All fields are there. 0: msg is complete (as httpmsg_complete left it). -EPROTO, -ENOMEM: *why says what a client is told; status 400:
 * the message is malformed. */
int h2head_end(struct h2head *h, bool end_stream, struct httpmsg_refusal *why);

#define H2HEAD_FIELDS_MAX (HTTPMSG_RESPONSE_FIELDS_MAX + 32)

/* A head as nghttp2 takes it. It points into itself and into the message. */
struct h2head_out {
	nghttp2_nv nv[H2HEAD_FIELDS_MAX];
	size_t n;
	char status[8], length[24], authority[DEST_PRINT_MAX];
};

/* Hop-by-hop fields must have been stripped; names become lower case. trailers: the fields alone. Credentials are marked so that they
 * are never put into HPACK's table. -EMSGSIZE: more fields than fit. -EINVAL: CONNECT, which nobody here sends. */
int h2head_write(struct httpmsg *m, enum h2head_part part, struct h2head_out *ret);

#endif
