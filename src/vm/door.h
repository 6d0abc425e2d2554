/* SPDX-License-Identifier: Apache-2.0
 *
 * door: the host's side of the control door: one HTTP/2 session over the chardev `sbx.ctl`. Two kinds of use: a call
 * (JSON in, JSON out, a deadline) and a stream (bytes both ways, flow-controlled end to end). The guest behind it is
 * hostile: answers have a maximum, and a session that breaks the protocol ends the door.
 */
#ifndef SBX_VM_DOOR_H
#define SBX_VM_DOOR_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"

struct door;
struct door_stream;

struct door_ops {
	/* The door is over; once; after every stream and call has ended. */
	void (*end)(void *user, int error);
};

struct door_stream_ops {
	void (*data)(void *user, const uint8_t *bytes, size_t n); /* door_consume when they have gone on */
	void (*response)(void *user, int status); /* may be NULL */
	void (*eof)(void *user);
	void (*writable)(void *user);
	void (*closed)(void *user, uint32_t error); /* last call */
};

/* err is NULL on success; reply and err are borrowed for the call. Exactly once, later. */
typedef void (*door_done)(void *user, const json_t *reply, const struct err *err);

/* fd is owned from here on. NULL on failure. */
struct door *door_new(uv_loop_t *loop, int fd, const struct door_ops *ops, void *user);
/* POST path with the body (stolen, may be NULL). 0 or -errno (then done is not called). */
int door_call(struct door *d, const char *path, json_t *body, uint64_t timeout_ms, door_done done, void *user);
/* POST path; bytes both ways. NULL where the door cannot take one more. */
struct door_stream *door_open(struct door *d, const char *path, const struct door_stream_ops *ops, void *user);
/* The same with an :authority, ":8080" for /port. */
struct door_stream *door_open_to(struct door *d, const char *path, const char *authority, const struct door_stream_ops *ops,
				 void *user);
size_t door_write(struct door_stream *s, const void *bytes, size_t n);
void door_consume(struct door_stream *s, size_t n);
/* END_STREAM after what was written. */
void door_shutdown(struct door_stream *s);
/* Resets the stream; `closed` is not called any more. */
void door_cancel(struct door_stream *s);
/* Closes every stream (`closed` with CANCEL), drops calls without their callback, and frees, later, from the loop. */
void door_free(struct door *d);

#endif
