/* SPDX-License-Identifier: Apache-2.0
 *
 * h2conn: what both codecs of HTTP/2 (h2f, h2b) are made of: one nghttp2 session over a chan, and streams, each the side of an exchange.
 * It reads all that comes: what holds a peer is its windows, which open as the exchange takes bytes.
 *
 * A stream begins with a window of H2CONN_WINDOW_FIRST, which is the most that is held of one that nobody reads. One whose bytes
 * are taken as they come gets more, up to H2CONN_WINDOW_MAX, so that a distant origin is not slowed by it, as long as all streams of the
 * process have no more than H2CONN_GROWN_MAX of that: whoever has it may stop reading. The connection's window is
 * given back at once: a stream that stands still holds up no other. Towards the peer a stream holds at most H2CONN_OUT.
 *
 * Floods. RST_STREAM, in either direction, and frames that cost more than they carry (SETTINGS, PING, PRIORITY, empty DATA,
 * WINDOW_UPDATE without DATA that would need it, frames of unknown types) draw on two allowances; a peer that uses one up is told
 * ENHANCE_YOUR_CALM and left. A header block is bounded by frames (nghttp2), by bytes (h2head, then the connection), and by time.
 *
 * A stream's life: made for a request (front: HEADERS came; back: the pool opened it) -> bound to an exchange -> the stream's end and
 * the exchange's end, in either order -> freed. A response that came completely is given to its end even when its
 * connection is gone: such a stream is detached (conn NULL).
 */
#ifndef SBX_PROXY_H2CONN_H
#define SBX_PROXY_H2CONN_H

#include <nghttp2/nghttp2.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "proxy/chan.h"
#include "proxy/due.h"
#include "proxy/exchange.h"
#include "wire/h2head.h"

#define H2CONN_STREAMS_MAX 100
#define H2CONN_FRONT_MAX 1024		   /* streams of all connections of the guest; more are refused (REFUSED_STREAM) */
#define H2CONN_GROWN_MAX (64U << 20)	   /* what windows of all streams may have beyond their first size, together */
#define H2CONN_WINDOW_FIRST (64 * 1024)
#define H2CONN_WINDOW_MAX (1024 * 1024)
#define H2CONN_OUT (64 * 1024)
#define H2CONN_HEAD_BYTES_MAX (512U << 10) /* of a header block, as HPACK counts; past it the connection ends */
#define H2CONN_END_MS 5000		   /* how long a last GOAWAY may take */

struct h2conn;

struct h2stream {
	TAILQ_ENTRY(h2stream) link;
	struct h2conn *conn; /* borrowed; NULL: detached */
	struct exchange *x;  /* NULL: not yet, or no more */
	int32_t id;	     /* 0: not submitted yet */
	/* From the peer. */
	struct h2head head; /* in_head: a block is being read, into msg */
	struct httpmsg msg; /* also of trailers, until they are told */
	struct buf in;	    /* came, and was not taken by the exchange */
	uint64_t taken;
	uint32_t window;
	bool in_head, has_head, has_trailers;
	bool in_ended; /* END_STREAM came */
	bool in_told;  /* the exchange knows */
	bool offering, again;
	bool answered; /* back: a HEADERS of an answer came */
	/* To the peer. */
	struct buf out;
	struct httpmsg trailers;
	bool out_ended, out_trailers;
	bool deferred;	 /* nghttp2 waits for bytes */
	bool blocked;	 /* took less than offered */
	bool room_again; /* and has room now */
	bool sent_all;	 /* END_STREAM is sent */
	bool reset_after; /* RST_STREAM NO_ERROR follows it */
	bool mute;	 /* malformed: nothing is answered, only logged */
	bool unsent;	 /* back: HEADERS cannot be sent any more, or the request was not made */
};

struct h2conn_ops {
	/* A head is complete in s->msg (why NULL), or is refused. end: no body follows. Front: the first of a request. Back: every head
	 * of an answer, 1xx included. */
	void (*head)(struct h2stream *s, bool end, const struct httpmsg_refusal *why);
	/* Streams came or went, a header block began or ended, the peer said GOAWAY. h2conn_end is allowed, h2conn_done is not. */
	void (*changed)(struct h2conn *c);
	/* The connection is over and has no streams any more. h2conn_done, and free. */
	void (*over)(struct h2conn *c);
};

/* An allowance that fills up again with time. */
struct h2conn_calm {
	uint64_t at_ms;
	int32_t left;
};

/* Embedded in h2f, h2b. */
struct h2conn {
	nghttp2_session *session;     /* owned */
	const struct h2conn_ops *ops; /* static */
	enum exchange_side side;      /* FRONT: we are the server */
	enum dest_scheme scheme;
	struct chan *chan; /* owned */
	struct dues *dues; /* borrowed */
	struct due end;
	struct turn_item flush;
	TAILQ_HEAD(, h2stream) streams;
	size_t nstreams;
	const uint8_t *out; /* nghttp2's, not written yet */
	size_t out_n;
	struct h2conn_calm resets, noise;
	bool busy;	/* inside nghttp2 */
	bool head_open; /* a header block has begun and not ended */
	bool goaway;	/* the peer wants no more streams */
	bool ending;	/* our last GOAWAY is on its way */
	bool heard;	/* back: a frame came since the last request */
	bool settled;	/* the peer's SETTINGS came: how many streams it takes is known */
};

/* chan is owned from here on also on failure; it is read from h2conn_start on. -ENOMEM. */
int h2conn_init(struct h2conn *c, enum exchange_side side, const struct h2conn_ops *ops, struct chan *chan, struct dues *dues);
void h2conn_start(struct h2conn *c);
void h2conn_done(struct h2conn *c);
/* A last GOAWAY with an error code of RFC 9113, section 7; `over` follows from the loop. */
void h2conn_end(struct h2conn *c, uint32_t code);
/* Ends it now, without a word; `over` is called from within. Not from inside a callback of this connection. */
void h2conn_break(struct h2conn *c);

/* NULL: -ENOMEM. */
struct h2stream *h2stream_new(struct h2conn *c);
/* RST_STREAM. */
void h2stream_reset(struct h2stream *s, uint32_t code);
/* For nghttp2_submit_request and _response: what `data` and `end` give. */
nghttp2_data_provider h2stream_source(struct h2stream *s);

/* Members of struct exchange_ops; side is a struct h2stream. */
size_t h2stream_data(void *side, const uint8_t *bytes, size_t n);
void h2stream_end(void *side, struct httpmsg *trailers);
void h2stream_resume(void *side);
void h2stream_closed(void *side, enum exchange_how how);
/* There is something to send. */
void h2conn_kick(struct h2conn *c);

#endif
