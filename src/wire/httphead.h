/* SPDX-License-Identifier: Apache-2.0
 *
 * httphead: the head of an HTTP/1.x message (RFC 9112), to and from struct httpmsg. No I/O; bytes come in any portions, and a
 * fault is found with the line that has it, what does not begin like a request with its first bytes.
 *
 * One reading or none. Refused: lines that end in anything but CRLF, bare CR and NUL, folded lines, white space before a colon or around
 * the request line's parts, names that are no tokens, versions other than HTTP/1.0 and HTTP/1.1, no or more than one Host (HTTP/1.0
 * needs none where the target names the host), a Host that is no authority or another one than the target's, Content-Length that is not
 * plain digits or comes twice or with Transfer-Encoding, codings other than one `chunked` (501), Transfer-Encoding in HTTP/1.0, targets
 * that do not fit the method, Expect other than 100-continue (417), WebSocket handshakes that are not exactly that, Upgrade: h2c
 * (upgrades to other protocols are not passed on). One empty line before a
 * request is skipped. Bounds: those of httpmsg.h; 414 for the target, 431 for the head.
 *
 * A server, in short:
 *
 *	httphead_init(&h, &msg, DEST_HTTP);             // httpmsg_init(&msg, HTTPMSG_REQUEST) before that
 *	r = httphead_feed(&h, bytes, n, &why);          // taken; negative: answer why.status, close
 *	if (h.done) ...                                 // msg is complete; what was not taken is body: httpbody.h
 *
 * What is written is always canonical: one request or status line, Host first, then framing, then the fields, single spaces.
 */
#ifndef SBX_WIRE_HTTPHEAD_H
#define SBX_WIRE_HTTPHEAD_H

#include "base/buf.h"
#include "wire/httpmsg.h"

struct httphead {
	struct httpmsg *msg; /* borrowed */
	uint32_t line;       /* where the line begins that is being read */
	bool started;        /* the first line was read */
	bool skipped;        /* the empty line before it */
	bool done, dead;
};

/* Resets msg. scheme: of the connection that the bytes come from; only requests use it. For a response call httpmsg_answers next. */
void httphead_init(struct httphead *h, struct httpmsg *msg, enum dest_scheme scheme);
/* How many bytes were taken: all of them, or up to the end of the head (done). -EPROTO or -ENOMEM: refused, *why says what a client
 * is told; repeats -EPROTO from then on. */
long httphead_feed(struct httphead *h, const void *bytes, size_t n, struct httpmsg_refusal *why);
/* Whether a byte of a message was seen: an idle connection's end is no error before that. */
static inline bool httphead_is_started(const struct httphead *h)
{
	return h->started || h->msg->arena_n > h->line;
}

/* Whether bytes begin as a request would: 1 yes, 0 too few to say, -1 no. */
int httphead_sniff(const void *bytes, size_t n);

/* How the target is written. */
enum httphead_target {
	HTTPHEAD_ORIGIN,   /* to an origin: "/path"; of CONNECT "host:port" */
	HTTPHEAD_ABSOLUTE, /* to another proxy: "http://host:port/path" */
};

/* A request as canonical bytes: Host is printed from msg->dest, with the port where it is not the scheme's. Framing fields by body and length,
 * Connection by close and websocket. Hop-by-hop fields must have been stripped. The whole or nothing: 0, -EMSGSIZE, -ENOMEM. */
int httphead_write_request(struct buf *out, const struct httpmsg *m, enum httphead_target target);
/* A response, likewise, as HTTP/1.1 with the standard reason phrase. A 101 and websocket: Connection: Upgrade; a 426 names the protocol
 * that is to be spoken instead. */
int httphead_write_response(struct buf *out, const struct httpmsg *m);
/* "OK", "Not Found"; "" for a status without a well-known phrase. */
const char *httphead_phrase(unsigned int status);

#endif
