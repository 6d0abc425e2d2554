/* SPDX-License-Identifier: Apache-2.0
 *
 * door: the stream of FUSE messages between the guest and libfuse. Bytes of the guest enter from a stream socket, are
 * cut into messages, judged by fuse_guard, and given to libfuse one at a time; answers leave in whole. One thread: a
 * request is answered before the next one is looked at, unless its operation keeps it (a lock that is waited for).
 *
 * FUSE_INTERRUPT never reaches libfuse, which would queue those that match nothing without bound: the owner gets the
 * number of the request that is to be given up.
 */
#ifndef SBX_SHARE_DOOR_H
#define SBX_SHARE_DOOR_H

#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 14)

#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "wire/fuse_guard.h"

struct door;

struct door_ops {
	/* The guest gives up waiting for a request. */
	void (*interrupt)(void *user, uint64_t unique);
	/* Called after each message and when the time of the last answer has passed: how many ms until it wants to be
	 * called again, -1: not before the next message. */
	int (*tick)(void *user);
};

struct door {
	int fd;                    /* owned by the session once there is one */
	struct fuse_session *se;   /* owned */
	const struct door_ops *ops; /* borrowed */
	void *user;
	struct fuse_guard guard;
	uint8_t *in;               /* owned: FUSE_GUARD_MAX_FRAME bytes, aligned to 8 */
	size_t have;
	uint64_t unique;           /* of the request in service */
	bool init_answer;          /* the next answer is FUSE_INIT's */
	bool broken;               /* an answer could not be sent */
	uint64_t refused;          /* messages that the guard did not let pass */
};

/* fd is a connected stream, taken over on success. user goes to both kinds of operations; see door_user. */
int door_init(struct door *d, int fd, const struct fuse_lowlevel_ops *fuse_ops, const struct door_ops *ops, void *user,
	      struct err *err);
void door_done(struct door *d);
/* Serves until the other side ends the stream (0) or breaks the protocol or the stream fails (-errno). */
int door_run(struct door *d, struct err *err);

/* Inside of a FUSE operation: the user, and the number of the request (what door_ops.interrupt will name). */
void *door_user(fuse_req_t req);
uint64_t door_unique(fuse_req_t req);
/* The arguments of the message in service, as the guard has seen them. */
const void *door_args(fuse_req_t req);

#endif
