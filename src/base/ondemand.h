/* SPDX-License-Identifier: Apache-2.0
 *
 * ondemand: a connection to a daemon of this user, which is started where it does not run. Ten callers at once start
 * one: whoever cannot connect takes RUNTIME/NAME.start.lock, tries once more, and only then starts it; the others wait
 * for the lock and find it running. Every wait has a deadline. Any thread may call.
 *
 * The daemon is started in a session of its own with "/" as its folder, stdout and stderr at the end of its log, and
 * the write end of a pipe as descriptor 3, which it holds as long as it lives, so that one that ends early is noticed
 * at once; that it is ready is seen by connecting.
 */
#ifndef SBX_BASE_ONDEMAND_H
#define SBX_BASE_ONDEMAND_H

#include <stdbool.h>

#include "base/err.h"

struct ondemand {
	const char *program;     /* beside the running one */
	const char *name;        /* of the start lock, as in "sandboxd" */
	const char *runtime_dir; /* of the socket and the lock */
	const char *socket;      /* name in it */
	bool packets;            /* SOCK_SEQPACKET; else SOCK_STREAM */
	const char *state_dir;   /* of the log */
	const char *log;         /* name in it */
	int ready_ms;            /* how long a start may take */
	int cancel;              /* > 0: a descriptor (borrowed); once it is readable, waits fail soon */
};

/* A connected socket (blocking, owned by the caller), or negative with err. -ECONNREFUSED, ERR_UNAVAILABLE: nobody
 * listens and `start` is false; or the daemon did not get ready, and then the message has the last line of its log.
 * *ret_started (may be NULL) is set where this call started it. */
int ondemand_connect(const struct ondemand *o, bool start, bool *ret_started, struct err *err);

/* Takes an exclusive flock(2) on fd within timeout_ms; -ETIMEDOUT. */
int ondemand_lock(int fd, int timeout_ms);

#endif
