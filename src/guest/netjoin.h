/* SPDX-License-Identifier: Apache-2.0
 *
 * netjoin: a TCP connection and an HTTP/2 stream become one. Bytes go both ways with back-pressure from end to end: the
 * socket is read only while the stream takes bytes, and the peer's window opens only by what the socket took. Each
 * direction ends on its own (FIN is END_STREAM); a reset of one side resets the other.
 *
 * The session's owner passes on what struct h2_ops tells about the stream, by the functions of the same names. The join
 * frees itself after both sides are over, with `over` as its last call.
 */
#ifndef SBX_GUEST_NETJOIN_H
#define SBX_GUEST_NETJOIN_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "wire/h2.h"

struct netjoin;

struct netjoin_ops {
	/* Something was queued for the stream or its window opened: the session wants to be sent. */
	void (*kick)(void *user);
	/* The join is about to go. */
	void (*over)(void *user);
};

/* fd is connected and non-blocking, and owned from here on even on failure. NULL on failure (fd is reset then). */
struct netjoin *netjoin_new(uv_loop_t *loop, int fd, const struct netjoin_ops *ops, void *user);
/* The other half, once, right after netjoin_new; NULL resets the connection. */
void netjoin_start(struct netjoin *j, struct h2_stream *s);

void netjoin_data(struct netjoin *j, const uint8_t *bytes, size_t n);
void netjoin_eof(struct netjoin *j);
void netjoin_writable(struct netjoin *j);
void netjoin_closed(struct netjoin *j, uint32_t error);
/* Resets both sides; the stream's `closed` comes from within, and the join may be gone afterwards. */
void netjoin_reset(struct netjoin *j);

/* Closes fd with a TCP reset. */
void netjoin_refuse(int fd);

#endif
