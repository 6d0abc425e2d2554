/* SPDX-License-Identifier: Apache-2.0
 *
 * server: the API's socket and its connections. Accepts from the daemon's own user and root only, at most
 * SERVER_CONNS_MAX at once (more wait in the backlog); a request must arrive within SERVER_REQUEST_MS, and an answer
 * must be taken by the client at least at that pace.
 *
 * A connection: READING (deadline) -> BUSY (a handler owns a request) -> WRITING (deadline) -> READING ... -> closed.
 */
#ifndef SBX_DAEMON_SERVER_H
#define SBX_DAEMON_SERVER_H

#include "base/err.h"
#include "daemon/daemon.h"

#define SERVER_CONNS_MAX 64
#define SERVER_REQUEST_MS 10000
#define SERVER_OUT_MAX (16U << 20)

/* Binds RUNTIME/sandboxd.sock and accepts. */
int server_start(struct daemon *d, struct err *err);
/* Accepts nothing more, removes the socket's name, closes idle connections; daemon_idle is called once all are gone. */
void server_drain(struct daemon *d);
/* Closes everything; handles are still closing. */
void server_stop(struct daemon *d);
/* Once the loop has closed them. */
void server_free(struct daemon *d);

#endif
