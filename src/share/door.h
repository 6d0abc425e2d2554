/* SPDX-License-Identifier: Apache-2.0
 *
 * door: the stream of FUSE messages between the guest and libfuse. Bytes of the guest enter from a stream socket, are
 * cut into messages, judged by fuse_guard, and given to libfuse one at a time; answers leave in whole. One thread: a
 * request is answered before the next one is looked at, unless its operation keeps it (a lock that is waited for).
 *
 * FUSE_INTERRUPT never reaches libfuse, which would queue those that match nothing without bound: the owner gets the
 * number of the request that is to be given up.
 *
 * The guest's relay may ask for silence (FUSE_GUARD_HOLD): from its answer on, nothing leaves but answers to what still
 * comes, so no lock that is waited for is answered, until it says to go on. What there is to know of the session can be
 * written down then, and another door can go on with it.
 */
#ifndef SBX_SHARE_DOOR_H
#define SBX_SHARE_DOOR_H

#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 14)

#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "wire/fsstate.h"
#include "wire/fuse_guard.h"

struct door;

struct door_ops {
	/* The guest gives up waiting for a request. */
	void (*interrupt)(void *user, uint64_t unique);
	/* Called after each message and when the time of the last answer has passed: how many ms until it wants to be
	 * called again, -1: not before the next message. */
	int (*tick)(void *user);
	/* The guest's relay goes on. May be NULL. */
	void (*go)(void *user);
	/* There is something to read at control_fd: 0, or negative where it is to be left alone from now on. */
	int (*control)(void *user);
};

struct door {
	int fd;                    /* owned by the session once there is one */
	int control_fd;            /* borrowed; -1: none */
	struct fuse_session *se;   /* owned */
	const struct door_ops *ops; /* borrowed */
	void *user;
	struct fuse_guard guard;
	uint8_t *in;               /* owned: FUSE_GUARD_MAX_FRAME bytes, aligned to 8 */
	size_t have;
	uint64_t unique;           /* of the request in service */
	bool init_answer;          /* the next answer is FUSE_INIT's */
	bool broken;               /* an answer could not be sent */
	bool held;                 /* the guest's relay wants silence */
	bool mute;                 /* answers are dropped */
	uint8_t offer[FSSTATE_INIT_BYTES], agreed[FSSTATE_INIT_BYTES]; /* FUSE_INIT and its answer, once guard.init */
	uint64_t refused;          /* messages that the guard did not let pass */
};

/* fd is a connected stream, taken over on success. user goes to both kinds of operations; see door_user. */
int door_init(struct door *d, int fd, const struct fuse_lowlevel_ops *fuse_ops, const struct door_ops *ops, void *user,
	      struct err *err);
void door_done(struct door *d);
/* Serves until the other side ends the stream (0) or breaks the protocol or the stream fails (-errno). */
int door_run(struct door *d, struct err *err);

/* Whether the stream stands between two messages and is held: what the owner writes down now is all there is. */
bool door_is_still(const struct door *d);
/* Agrees again upon what another door agreed upon, without a word to the guest; before door_run. An error where libfuse
 * would not agree on the same any more. */
int door_agree(struct door *d, const uint8_t offer[FSSTATE_INIT_BYTES], const uint8_t agreed[FSSTATE_INIT_BYTES],
	       struct err *err);
/* Tells the guest's kernel that what it has of a file's content is old. */
void door_tell_old(struct door *d, uint64_t node_id);
/* Serves a request that another door did not answer: as if it came now. frame is copied. */
int door_replay(struct door *d, const void *frame, size_t len, struct err *err);

/* Inside of a FUSE operation: the user, and the number of the request (what door_ops.interrupt will name). */
void *door_user(fuse_req_t req);
uint64_t door_unique(fuse_req_t req);
/* The arguments of the message in service, as the guard has seen them. */
const void *door_args(fuse_req_t req);

#endif
