/* SPDX-License-Identifier: Apache-2.0
 *
 * wsframe: whether bytes are WebSocket frames (RFC 6455 section 5) that one side may send: looks at the frames' headers and at nothing
 * else. What is no such frame ends the connection, so that a WebSocket handshake is no way to a stream of any bytes.
 *
 * Refused: a mask bit that the direction does not have, reserved opcodes, reserved bits but RSV1 on the first frame of a message where
 * permessage-deflate (RFC 7692) was agreed, control frames that are fragmented or longer than 125 bytes, lengths that are not
 * written in the shortest way or have their top bit set, a message within a message, a continuation of none, anything
 * after a close frame.
 *
 * No allocation, no I/O. A struct may be copied to look ahead.
 */
#ifndef SBX_WIRE_WSFRAME_H
#define SBX_WIRE_WSFRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wsframe_from { WSFRAME_CLIENT, WSFRAME_SERVER };

struct wsframe {
	bool masked;     /* this direction's frames are */
	bool deflate;    /* permessage-deflate was agreed */
	bool in_message; /* a message's last frame has not come */
	bool closed;     /* a close frame came */
	bool dead;
	uint8_t head[14];
	uint8_t head_n, head_need; /* bytes of the header that are there, and that it takes as far as is known */
	uint64_t left;             /* payload bytes to come */
};

void wsframe_init(struct wsframe *w, enum wsframe_from from, bool deflate);
/* 0, or -EPROTO, from then on always. */
int wsframe_feed(struct wsframe *w, const uint8_t *bytes, size_t n);

#endif
