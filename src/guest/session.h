/* SPDX-License-Identifier: Apache-2.0
 *
 * session: one /exec: a process in the guest, its bytes and its end, as records (wire/record.h) on one stream.
 *
 *   SESSION_WAITING   for START
 *   SESSION_STARTING  forked; exec has not reported yet. The process may be gone already.
 *   SESSION_RUNNING   STARTED was sent
 *   SESSION_DRAINING  the process is gone; what it wrote still goes out
 *   SESSION_OVER      EXIT or FAILED was queued; what the host still sends is dropped
 *
 * Any state is left at once when the stream closes: a process that runs gets HUP, the descriptors are closed. Memory is
 * bounded by the stream's two windows plus one record. A session frees itself when its stream and all its handles
 * are closed.
 *
 * Where all of the host's end went, as it does when the machine was saved and goes on elsewhere (sessions_host_gone), sessions
 * with a process are detached instead: nothing is read of them, so that their processes wait when their pipe or terminal is
 * full, until a START with "attach" on another stream takes one over. Of more than SESSIONS_DETACHED the oldest ends.
 */
#ifndef SBX_GUEST_SESSION_H
#define SBX_GUEST_SESSION_H

#include "guest/ctl.h"

#define SESSIONS_MAX 1024
#define SESSIONS_DETACHED 64
#define SESSIONS_LISTED 256

/* The operation for a new stream. NULL on -ENOMEM. */
struct ctl_stream *session_new(struct guest *g, struct h2_stream *s);
/* A child was reaped; status as of waitpid(2). One that belongs to no session is an orphan: nothing to do. */
void sessions_reaped(struct guest *g, pid_t pid, int status);
/* Between these two every stream closes because the host is gone. */
void sessions_host_gone(struct guest *g, bool gone);
/* Detached ones whose process has not ended. */
size_t sessions_detached(const struct guest *g);
/* {"sessions": [{"id", "turn", "program", "tty", "attached", "ended"}]}, turn counting attachments; owned by the caller; NULL on -ENOMEM. */
char *sessions_list(const struct guest *g);
/* No session has output or an end that was not queued yet. */
bool sessions_all_over(const struct guest *g);

#endif
