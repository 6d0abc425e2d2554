/* SPDX-License-Identifier: Apache-2.0
 *
 * openmsg: the lines of the stream /open of the control door. "ID TEXT\n": from the guest TEXT is a URL that a program wants the host to open,
 * from the host the answer to it, "ok" or "no" and why. ID: the guest's number of the request, decimal, 1 to 4294967295. TEXT: 1 to
 * OPENMSG_TEXT_MAX bytes without control bytes. No I/O.
 */
#ifndef SBX_WIRE_OPENMSG_H
#define SBX_WIRE_OPENMSG_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define OPENMSG_TEXT_MAX 8192
#define OPENMSG_LINE_MAX (OPENMSG_TEXT_MAX + 12)

struct openmsg {
	uint32_t id;
	const char *text; /* borrowed: points into the decoded bytes; not terminated */
	size_t n;
};

/* The line at the head of n bytes. Returns the bytes that it takes, 0 where more are needed, -EPROTO. */
long openmsg_take(const uint8_t *bytes, size_t n, struct openmsg *ret);
/* Appends one. -EINVAL: no such line; -EMSGSIZE, -ENOMEM. */
int openmsg_put(struct buf *out, uint32_t id, const char *text, size_t n);

#endif
