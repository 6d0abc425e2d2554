/* SPDX-License-Identifier: Apache-2.0
 *
 * chan: a byte stream in both directions with back-pressure and half-close, whatever carries it: a stream of the door (front), a
 * socket (sock), TLS inside another chan (tlsf, tlsb). It has exactly one owner at a time, who gets the callbacks of
 * struct chan_ops and lets go of it with chan_free or chan_close.
 *
 * Reading. Bytes are pushed: `bytes` returns how many it took. What it did not take the chan keeps, stops reading (so that the
 * peer's window shuts) and delivers again, first, after chan_resume. An owner that hands the chan on gives back what it has
 * taken already with chan_unread. A new chan does not read before chan_resume.
 *
 * Writing. chan_write takes what it has room for, at least chan_room(c) bytes; where it took less than offered, `writable`
 * is called once there is room again, at least half of CHAN_OUT. What was taken is sent without further calls.
 *
 * Ending. Each direction ends on its own: `eof` tells that the peer's has ended, after its last byte was taken; chan_shutdown
 * ends ours, after what was written. `closed` is called exactly once, when both have ended in order and all is sent (0), or at
 * the first failure (-errno: -ECONNRESET for a peer's reset); what was kept is lost then. After `closed` only
 * chan_free may be called. chan_free before `closed` resets the stream towards the peer, and nothing is called any more.
 *
 * No callback runs inside a chan_ call; in a callback every chan_ call is allowed, chan_free included. Single thread.
 */
#ifndef SBX_PROXY_CHAN_H
#define SBX_PROXY_CHAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/own.h"
#include "proxy/turn.h"

#define CHAN_CHUNK (64 * 1024)  /* what is read at once; `bytes` is given more only of what was kept */
#define CHAN_OUT (256 * 1024)   /* the most that waits to be sent */
#define CHAN_KEPT (512 * 1024)  /* the most that is kept for the owner: a door stream's window, and what was unread */
#define CHAN_LINGER_MS 5000     /* how long chan_close waits for the peer */

struct chan;

/* The owner's. None may be NULL but writable. */
struct chan_ops {
	/* Returns how many of the n > 0 bytes it took; fewer: reading stops until chan_resume. */
	size_t (*bytes)(void *owner, struct chan *c, const uint8_t *bytes, size_t n);
	void (*eof)(void *owner, struct chan *c);
	void (*writable)(void *owner, struct chan *c);
	void (*closed)(void *owner, struct chan *c, int error);
};

/* The carrier's; called by chan.c only. None calls the owner, directly or not: see chan_deliver. */
struct chan_class {
	const char *name; /* "door", "socket", "tls" */
	/* Takes up to the sum of the iovecs; 0 where there is no room (the carrier then calls chan_deliver_writable later). */
	size_t (*writev)(struct chan *c, const struct iovec *iov, int n);
	size_t (*room)(const struct chan *c);
	/* chan_deliver_writable is to be called when there is more room than now, at once where nothing waits. */
	void (*want_room)(struct chan *c);
	void (*shutdown)(struct chan *c); /* once */
	void (*set_reading)(struct chan *c, bool on);
	/* n bytes that chan_deliver gave were taken, each byte once; NULL: the carrier has no use for that. */
	void (*consumed)(struct chan *c, size_t n);
	/* The owner is gone. reset: the peer must not take what it got for complete. Frees c in the end. */
	void (*release)(struct chan *c, bool reset);
};

struct chan {
	const struct chan_class *class; /* static */
	const struct chan_ops *ops;     /* borrowed */
	void *owner;                    /* borrowed */
	struct turn *turn;              /* borrowed */
	struct turn_item item;          /* what is to be told in the next turn */
	struct buf kept;                /* delivered and not taken */
	uint64_t bytes_in, bytes_out;   /* taken by the owner, taken from the owner; for the log */
	int error;                      /* with ended */
	bool reading;                   /* the owner wants bytes */
	bool peer_eof, eof_told;
	bool shut;         /* chan_shutdown was called */
	bool blocked;      /* the owner waits for `writable` */
	bool room_again;   /* `writable` is due */
	bool ended;        /* the carrier is over; `closed` is due or was told */
	bool closed_told;
	bool delivering;   /* inside a callback about this chan */
	bool resumed;      /* chan_resume was called inside it */
	bool gone;         /* freed by its owner */
	size_t credited;   /* bytes at the front of kept that were taken once and then unread */
};

/* --- for owners --- */

/* Before anything else, and again when the chan changes hands; the new owner is told of the peer's end, too. It does not change
 * whether the chan reads. */
void chan_own(struct chan *c, const struct chan_ops *ops, void *owner);
void chan_resume(struct chan *c);
void chan_pause(struct chan *c);
size_t chan_write(struct chan *c, const void *bytes, size_t n);
size_t chan_writev(struct chan *c, const struct iovec *iov, int n);
/* 0 after chan_shutdown and at the end. */
size_t chan_room(const struct chan *c);
/* For an owner that looked at the room and did not write because there is too little: `writable` comes as after a write that took less. */
void chan_want_room(struct chan *c);
void chan_shutdown(struct chan *c);
/* Puts n bytes before everything that is to be delivered. 0, -EMSGSIZE (more than CHAN_KEPT in all), -ENOMEM: as before. */
int chan_unread(struct chan *c, const void *bytes, size_t n);
/* Lets go at once; resets where the stream has not ended in order. NULL is allowed. */
void chan_free(struct chan *c);
/* Lets go in order: what was written goes out, then the end; what the peer still sends is dropped, and after CHAN_LINGER_MS the
 * stream is reset. */
void chan_close(struct chan *c);
/* Whatever chan_close still waits for goes now: nothing of it holds up the loop's end. */
void chan_stop_lingering(struct turn *turn);
DEFINE_AUTO(chan, struct chan *, chan_free);

/* --- for carriers --- */

void chan_init(struct chan *c, const struct chan_class *class, struct turn *turn);
/* Frees what chan_init and the deliveries made; the carrier calls it before it frees c. */
void chan_done(struct chan *c);
/* Bytes from the peer: to the owner at once where it reads and nothing is kept, else kept. Not to be called from class functions.
 * -EMSGSIZE, -ENOMEM: they could not be kept; the carrier ends the stream. -ECANCELED: the owner has let go, release was
 * called, and c must not be used but for what release left. */
int chan_deliver(struct chan *c, const uint8_t *bytes, size_t n);
/* The peer's direction has ended. May be called anywhere. */
void chan_deliver_eof(struct chan *c);
/* There is room again. May be called anywhere. */
void chan_deliver_writable(struct chan *c);
/* Over: 0 only after chan_deliver_eof and once all is sent, shutdown included. May be called anywhere, once. */
void chan_deliver_closed(struct chan *c, int error);

#endif
