/* SPDX-License-Identifier: Apache-2.0
 *
 * h2: one HTTP/2 session (RFC 9113, by nghttp2) over a byte stream that somebody else carries: no I/O here.
 * The doors use it: on `sbx.ctl` the host is the client and each operation is one stream.
 *
 * Bytes in through h2_feed, bytes out through h2_pull. Stream bytes are flow-controlled end to end: what the
 * owner has not released with h2_consume keeps the peer's window shut, and h2_write takes no more than
 * H2_STREAM_OUT bytes ahead of the wire, so memory per stream is bounded on both sides.
 *
 * Callbacks run inside h2_feed, h2_pull and h2_reset only. In a callback all calls but h2_free are allowed.
 * `closed` is called exactly once per stream and is the last call about it; the handle dies when it returns.
 */
#ifndef SBX_WIRE_H2_H
#define SBX_WIRE_H2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One stream's receive window, and the most that h2_write holds ahead of the wire. */
#define H2_STREAM_WINDOW (256 * 1024)
#define H2_STREAM_OUT (256 * 1024)
/* The most that h2_pull returns at once: a DATA frame of 64 KiB. */
#define H2_PULL_MAX (65536 + 9)
/* Streams that a peer may have open at once; more are refused (REFUSED_STREAM). */
#define H2_MAX_STREAMS 4096

enum h2_role { H2_CLIENT, H2_SERVER };

struct h2;        /* one session */
struct h2_stream; /* one stream; owned by the session */

/* What a request says; strings are NUL-terminated and live until the callback returns. Absent: "". */
struct h2_head {
	char method[16];     /* "POST", "CONNECT" */
	char path[256];      /* "/exec"; empty for CONNECT */
	char authority[280]; /* "host:port" */
};

struct h2_ops {
	/* Server: a request arrived. Non-zero refuses it (the stream is reset, `closed` is not called). */
	int (*request)(void *user, struct h2_stream *s, const struct h2_head *head);
	/* Client: the response's status (100-999). */
	void (*response)(void *user, struct h2_stream *s, int status);
	/* Stream bytes; call h2_consume once they have gone on. */
	void (*data)(void *user, struct h2_stream *s, const uint8_t *bytes, size_t n);
	/* The peer sent its last byte (END_STREAM). */
	void (*eof)(void *user, struct h2_stream *s);
	/* h2_write has room again after it took less than offered. */
	void (*writable)(void *user, struct h2_stream *s);
	/* Over: error is 0 for an orderly end, else an HTTP/2 error code (RFC 9113 section 7). */
	void (*closed)(void *user, struct h2_stream *s, uint32_t error);
};

/* ops is borrowed for the session's life. NULL on -ENOMEM. */
struct h2 *h2_new(enum h2_role role, const struct h2_ops *ops, void *user);
/* Ends every stream (closed with error CANCEL) and frees. */
void h2_free(struct h2 *h);

/* Bytes from the peer. 0, or -EPROTO / -ENOMEM: the session is dead, free it. */
int h2_feed(struct h2 *h, const uint8_t *bytes, size_t n);
/* The next bytes to send, valid until the next call on h; 0 = nothing now; negative = dead session. */
long h2_pull(struct h2 *h, const uint8_t **ret);
/* Queues a PING, which the peer answers (RFC 9113 section 6.7); that the answer comes is seen by the bytes only. */
void h2_ping(struct h2 *h);
/* Whether h2_pull would return something. */
bool h2_wants_write(struct h2 *h);

/* Client: opens a stream. NULL where the session is dead or the peer's limit is reached. */
struct h2_stream *h2_request(struct h2 *h, const struct h2_head *head);
/* Server: answers; must precede h2_write. */
int h2_respond(struct h2_stream *s, int status);
/* Takes up to n bytes; returns how many (0: wait for `writable`). */
size_t h2_write(struct h2_stream *s, const void *bytes, size_t n);
/* Room that h2_write has now. */
size_t h2_room(const struct h2_stream *s);
/* `writable` comes once there is room again, as after a write that took less than offered. */
void h2_want_room(struct h2_stream *s);
/* END_STREAM after what was written. */
void h2_shutdown(struct h2_stream *s);
/* RST_STREAM with an error code; `closed` follows from within this call. */
void h2_reset(struct h2_stream *s, uint32_t error);
/* Opens the peer's window again by n bytes that `data` delivered. */
void h2_consume(struct h2_stream *s, size_t n);

void h2_set_user(struct h2_stream *s, void *user);
void *h2_user(const struct h2_stream *s);

#define H2_CANCEL 8U
#define H2_CONNECT_ERROR 10U
#define H2_INTERNAL_ERROR 2U

#endif
