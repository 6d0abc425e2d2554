/* SPDX-License-Identifier: Apache-2.0
 *
 * exchange: one HTTP request and its response, whatever HTTP version each side speaks. It stands between two codecs, each of
 * which has one stream in it: the front (h1f, h2f: the sandbox's program asks) and the back (h1b, h2b: the origin answers).
 * Here, and only here, a request is compared with the connection it came on, decided, cleaned of hop-by-hop fields and
 * written to the log; a codec only decodes and encodes.
 *
 *                exchange_head, exchange_data, exchange_end                ops->head, ops->data, ops->end
 *   front codec ──────────────────────────────────────────▶ exchange ──────────────────────────────────────▶ back codec
 *   front codec ◀────────────────────────────────────────── exchange ◀────────────────────────────────────── back codec
 *                ops->head, ops->data, ops->end                            exchange_head, exchange_data, exchange_end
 *
 * The two directions are mirror images and independent: each is  head, data*, end  (a response: 1xx heads before its head), a
 * response may begin while the request still runs (gRPC), and each may be ended while the other goes on.
 *
 * States, as the request goes:
 *   NEW         exchange_head(FRONT) has not been called
 *   DECIDING    the policy is asked, perhaps a person; no byte of the body is taken (exchange_data returns 0)
 *   CONNECTING  allowed; waits for a back: a pooled connection or a new one, whose certificate is verified; as DECIDING
 *   OPEN        the back has the head; both directions stream
 *   TUNNEL      after a checked 101 both directions are bytes of WebSocket frames, whose headers are checked
 *   REFUSED     the proxy answers by itself: head, data, end to the front, from any of the states above unless a final
 *               response head was given already
 *   OVER        `closed` is owed to the sides that are left, from the loop; then the exchange frees itself
 * A back that fails leads to REFUSED (502, 504) while the front has not seen a final head, else to OVER.
 *
 * Back-pressure. data returns how many bytes it took. What was not taken stays with whoever offered it, who offers it again (with
 * more, if it likes) when his `resume` is called, and does not read on meanwhile. Whoever took less than offered calls
 * exchange_writable when it can take more. Nobody holds more than 64 KiB of one direction. What was taken is the codec's:
 * an HTTP/2 codec opens its peer's window by what was taken.
 *
 * Calls. Every op may be called from within any exchange_ call, except `closed`, which is called from the loop only; so an
 * exchange is alive as long as its side has neither had `closed` nor called exchange_abort, and a codec's stream is not freed
 * under it. Exactly one of the two ends each side, and after either no op is called for it and it must not call in again.
 */
#ifndef SBX_PROXY_EXCHANGE_H
#define SBX_PROXY_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/decide.h"
#include "proxy/journal.h"
#include "wire/httpmsg.h"

struct proxy;

enum exchange_side { EXCHANGE_FRONT, EXCHANGE_BACK };

/* How an exchange ended, for a side. */
enum exchange_how {
	EXCHANGE_DONE,     /* both directions are complete: the connection may carry the next exchange */
	EXCHANGE_UNREAD,   /* front: the response is complete, the rest of the request is not wanted (h1: close; h2:
			    * RST_STREAM NO_ERROR after what was written). back: the same seen from there (h2: CANCEL) */
	EXCHANGE_CUT,      /* broken off in the middle (h1: close without an orderly end, h2: RST_STREAM INTERNAL_ERROR, back CANCEL) */
	EXCHANGE_MISUSED,  /* front: the peer broke the protocol (h2: RST_STREAM PROTOCOL_ERROR) */
};

/* What a codec's stream must be able to do. `side` is what exchange_new or exchange_back was given. */
struct exchange_ops {
	/* Front: a response's head, 1xx (but 101) any number of times, then the final one. Back: the request's head, once.
	 * Fields are final: hop-by-hop ones are gone, framing is the codec's to add from m's length and from `end`: no body and no
	 * trailers follow, `end` is not called. m is borrowed until the call returns, its framing may be changed.
	 * Front, 101: from here on data is bytes of the connection, in both directions, until `end`. */
	void (*head)(void *side, struct httpmsg *m, bool end);
	/* Bytes of the body. Returns how many were taken, 0..n. */
	size_t (*data)(void *side, const uint8_t *bytes, size_t n);
	/* The direction is complete; all data was taken. trailers: NULL for none, else its fields only. */
	void (*end)(void *side, struct httpmsg *trailers);
	/* What this side offered and was not taken may be offered again. */
	void (*resume)(void *side);
	/* The last call. What was taken before is still to be sent. */
	void (*closed)(void *side, enum exchange_how how);
};

struct exchange;

/* What the requests of one front connection have in common; embedded in the front's connection, which frees refusal. */
struct exchange_env {
	struct proxy *proxy; /* borrowed */
	struct dest dest;    /* where the connection goes: each request's authority must say the same */
	bool any_dest;       /* a forward proxy's connection: each request names its own (absolute form), dest means nothing */
	struct flow flow;    /* conn, entry, protocol, inspect; req counts the requests so far */
	char asked[RULE_ID_MAX + 1]; /* the rule by which the user allowed the connection, "" for none: its requests are not asked about again */
	struct decision *refusal; /* owned: every request is answered by this, and is not recorded: that was done. NULL: decide each */
};

/* A new exchange for a front's stream; NULL on -ENOMEM. env and ops are borrowed: they outlive the exchange. */
struct exchange *exchange_new(struct exchange_env *env, const struct exchange_ops *ops, void *side);

/* A head was decoded. Front: the request, once. Back: 1xx responses and the final one. Takes the message over (m is empty
 * afterwards). end: neither body nor trailers follow, and exchange_end is not called. */
void exchange_head(struct exchange *x, enum exchange_side from, struct httpmsg *m, bool end);
/* Body bytes were decoded; returns how many were taken. n > 0. */
size_t exchange_data(struct exchange *x, enum exchange_side from, const uint8_t *bytes, size_t n);
/* The body is complete; trailers NULL or a message that has fields only, which is taken over. */
void exchange_end(struct exchange *x, enum exchange_side from, struct httpmsg *trailers);
/* The side takes data again, after it took less than offered. */
void exchange_writable(struct exchange *x, enum exchange_side from);

/* Why a side goes. */
enum exchange_fault {
	EXCHANGE_GONE,       /* the peer went, or reset the stream */
	EXCHANGE_PROTOCOL,   /* the peer broke the protocol */
	EXCHANGE_TIMEOUT,
	EXCHANGE_UNTOUCHED, /* back only: a reused connection ended before a byte of an answer: mostly nothing was processed, and what does
			     * no harm twice may be tried again elsewhere, once */
	EXCHANGE_REFUSED,   /* back only: the peer says that it processed nothing (RST_STREAM REFUSED_STREAM, GOAWAY) */
};

/* The request's head while the back has the exchange, as it was sent (httpmsg_answers wants it), borrowed. */
const struct httpmsg *exchange_request(const struct exchange *x);

/* The side is gone. Neither ops nor side are touched any more, and x is dead for the caller. */
void exchange_abort(struct exchange *x, enum exchange_side from, enum exchange_fault fault);

/* A request that cannot be decoded gets its answer from here, too, so that it is logged and looks like any other: status is 400,
 * 408, 413, 414, 417, 431, 501 or 505; why is one line for a person, escaped. Instead of exchange_head; then `closed` with UNREAD. */
void exchange_reject(struct exchange *x, int status, const char *why);

#endif
