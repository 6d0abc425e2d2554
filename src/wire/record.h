/* SPDX-License-Identifier: Apache-2.0
 *
 * record: the frames of a session, between `sbx` and `sbx-vm` on a Unix socket, and, unchanged, between
 * `sbx` and `sbx-guest` inside one HTTP/2 stream of the control door. docs/api.md describes them for users.
 *
 *   byte 0     type
 *   bytes 1-3  payload length, big endian, at most RECORD_MAX
 *   ...        payload
 *
 * Which side sends what, and the payloads:
 *
 *   REQUEST    client -> vm     JSON {"op": "exec"|"watch"|"status"|"stop"|"keep"|"reach", ...}; first record
 *   REPLY      vm -> client     JSON {"ok": true, ...} or {"error": {"kind": ..., "message": ...}}; ends the call
 *   EVENT      vm -> client     JSON, on a watch
 *   START      client -> guest  JSON, see below; follows a REQUEST exec at once
 *   STDIN      client -> guest  bytes                       STDIN_EOF  client -> guest  empty
 *   RESIZE     client -> guest  u16be rows, u16be columns   SIGNAL     client -> guest  u8 signal number
 *   STARTED    guest -> client  u32be pid in the guest
 *   STDOUT / STDERR  guest -> client  bytes (with a pty everything is STDOUT)
 *   EXIT       guest -> client  u8 0 = exited, 1 = killed by a signal; u8 exit code or signal number. Last record.
 *   FAILED     guest -> client  JSON {"kind": ..., "errno": n, "message": ...}: the program never ran. Last record.
 *
 *   START: {"argv": [..], "env": {NAME: VALUE}, "cwd": "/..." (default: first workspace or home), "user": "agent"
 *   (name or uid, optional ":group"), "tty": bool, "rows": n, "cols": n, "term": "xterm-256color"}, or
 *   {"attach": ID, "rows", "cols"}: a session that goes on without a client (docs/architecture.md, "Paused machines")
 *
 * What a guest sends is hostile: a type outside the guest -> client set, a wrong length or a length past
 * RECORD_MAX is -EPROTO, and the session ends.
 */
#ifndef SBX_WIRE_RECORD_H
#define SBX_WIRE_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define RECORD_HEAD 4
#define RECORD_MAX 65536

enum record_type {
	RECORD_REQUEST = 0x01,
	RECORD_REPLY = 0x02,
	RECORD_EVENT = 0x03,
	RECORD_START = 0x10,
	RECORD_STDIN = 0x11,
	RECORD_STDIN_EOF = 0x12,
	RECORD_RESIZE = 0x13,
	RECORD_SIGNAL = 0x14,
	RECORD_STARTED = 0x20,
	RECORD_STDOUT = 0x21,
	RECORD_STDERR = 0x22,
	RECORD_EXIT = 0x23,
	RECORD_FAILED = 0x24,
};

struct record {
	enum record_type type;
	const uint8_t *data; /* borrowed: points into the decoded bytes */
	size_t len;
};

/* Decodes one record at the head of n bytes. Returns the bytes it takes, 0 where more are needed, -EPROTO for an
 * unknown type or a length that the type does not allow. */
int record_decode(const uint8_t *bytes, size_t n, struct record *ret);
/* Appends one record; len <= RECORD_MAX. -EMSGSIZE where it does not fit into out. */
int record_encode(struct buf *out, enum record_type type, const void *data, size_t len);
/* Whether a guest may send this type. */
int record_from_guest(enum record_type type);

#endif
