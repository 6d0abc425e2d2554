/* SPDX-License-Identifier: Apache-2.0
 *
 * ctl: the control door: the port sbx.ctl, and on it an HTTP/2 server whose every stream is one operation. A host that
 * goes away ends all streams; the port is then opened again and waits for the next one.
 */
#ifndef SBX_GUEST_CTL_H
#define SBX_GUEST_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "guest/guest.h"
#include "wire/h2.h"

/* What a stream is: stands first in the operation's object, which is the stream's user pointer. The calls are those of
 * struct h2_ops; `closed` is the last one. */
struct ctl_stream_ops;
struct ctl_stream {
	const struct ctl_stream_ops *ops;
};
struct ctl_stream_ops {
	void (*data)(struct ctl_stream *cs, const uint8_t *bytes, size_t n);
	void (*eof)(struct ctl_stream *cs);
	void (*writable)(struct ctl_stream *cs);
	void (*closed)(struct ctl_stream *cs, uint32_t error); /* as in struct h2_ops */
};

/* Opens the port and listens. */
int ctl_start(struct guest *g, uint64_t deadline_ms, struct err *err);
/* Something was queued on a stream from outside of its calls. */
void ctl_kick(struct guest *g);
/* Nothing waits to be sent (or nobody is there to take it). */
bool ctl_idle(const struct guest *g);

#endif
