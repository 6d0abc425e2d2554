/* SPDX-License-Identifier: Apache-2.0
 *
 * fuse_guard: what a FUSE server may believe of a message from a hostile kernel. libfuse trusts the kernel that it
 * speaks to: it takes lengths, counts and terminators on faith. Every message from the guest passes here first.
 *
 * Bytes enter as a stream, frames of one message leave (struct fuse_in_header.len, linux/fuse.h). A message that
 * passes has an operation of the allow-list, exactly the arguments of that operation, names that are one path
 * component, and no number that overflows where libfuse computes with it. Node ids and file handles are not judged
 * here: the server looks them up in its tables. No I/O.
 *
 * FUSE_INIT comes first and once. It is rewritten: only the protocol features that this guard knows the layout of are
 * still offered to libfuse, so nothing else can be agreed upon.
 *
 * Two messages are not FUSE: the guest's relay asks the host to keep silent (FUSE_GUARD_HOLD, answered by a bare header
 * without an error) and not to any more (FUSE_GUARD_GO, not answered). Both are a header without arguments.
 */
#ifndef SBX_WIRE_FUSE_GUARD_H
#define SBX_WIRE_FUSE_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most bytes of one read, write or directory listing, and the longest message. */
#define FUSE_GUARD_MAX_DATA (1U << 20)
#define FUSE_GUARD_MAX_FRAME (FUSE_GUARD_MAX_DATA + 4096U)
#define FUSE_GUARD_HEAD 40U
#define FUSE_GUARD_MAX_NAME 255U
#define FUSE_GUARD_MAX_LINK 4095U
#define FUSE_GUARD_MAX_XATTR 65536U

#define FUSE_GUARD_HOLD 0x53425801U
#define FUSE_GUARD_GO 0x53425802U

struct fuse_guard {
	bool init; /* FUSE_INIT has passed */
};

/* fuse_guard_check: the message is to be ignored without an answer. */
#define FUSE_GUARD_DROP 1
/* It is FUSE_GUARD_HOLD or FUSE_GUARD_GO, and not for libfuse. */
#define FUSE_GUARD_OWN 2

/* The length of the message at the head of n bytes; 0 where more are needed to know it; -EPROTO where no message can
 * have that length: the stream is lost. The message itself may not have arrived yet. */
long fuse_guard_length(const uint8_t *bytes, size_t n);

/* Judges one whole message of len bytes (as fuse_guard_length said), aligned to 8; FUSE_INIT is rewritten in place.
 * 0: it may be served. FUSE_GUARD_DROP, FUSE_GUARD_OWN: as above. -EPROTO: end the session. Any other negative errno (-EINVAL,
 * -ENOSYS, -ENAMETOOLONG, -E2BIG): answer the request with it. */
int fuse_guard_check(struct fuse_guard *g, uint8_t *frame, size_t len);

#endif
