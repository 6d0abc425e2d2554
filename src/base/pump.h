/* SPDX-License-Identifier: Apache-2.0
 *
 * pump: a byte stream on a descriptor (socket, pipe, character device) driven by libuv, with back-pressure in
 * both directions. It never queues on its own: bytes to send are pulled from the owner when the descriptor
 * takes them, bytes received are handed over at once, and the owner can stop reading.
 *
 * The owner's `end` is called at most once, never from inside a pump_ call, and nothing is called after it or
 * after pump_stop. The pump is embedded in the owner; its memory may go when `closed` was called.
 */
#ifndef SBX_BASE_PUMP_H
#define SBX_BASE_PUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct pump;

struct pump_ops {
	/* Bytes arrived. Non-zero (negative errno) ends the pump with that error. */
	int (*bytes)(struct pump *p, const uint8_t *bytes, size_t n);
	/* The next bytes to send, valid until sent or pulled again; 0: nothing now; negative errno ends the pump. */
	long (*pull)(struct pump *p, const uint8_t **ret);
	/* The other side ended (0) or the descriptor failed (-errno). The pump is stopped. */
	void (*end)(struct pump *p, int error);
	/* The pump's memory is no longer in use. */
	void (*closed)(struct pump *p);
	/* The other side has sent its last byte; ours still go out, until pump_stop. NULL: that is the end. */
	void (*eof)(struct pump *p);
};

struct pump {
	uv_poll_t poll;
	uv_prepare_t soon; /* there may be something to send: tried before the loop waits, so that mostly no one has to wait for room */
	const struct pump_ops *ops; /* borrowed */
	void *user;
	int fd;         /* owned, closed by pump_stop */
	bool reading;   /* the owner wants bytes */
	bool eof;       /* there are no more */
	bool gather;    /* the owner's to set: the descriptor hands out small pieces, which go on together */
	bool stopped;
	uint8_t handles; /* not closed yet */
	const uint8_t *out; /* pulled, not yet sent */
	size_t out_len;
	int events; /* what poll watches now */
};

/* Starts on fd (made non-blocking, owned from here on even on failure). 0 or -errno. */
int pump_start(struct pump *p, uv_loop_t *loop, int fd, const struct pump_ops *ops, void *user);
/* There may be something to pull: call after queueing output. Not from a prepare callback of the loop, except from within pull. */
void pump_kick(struct pump *p);
void pump_set_reading(struct pump *p, bool on);
/* Stops at once; `closed` is called from the loop later. Idempotent. */
void pump_stop(struct pump *p);

#endif
