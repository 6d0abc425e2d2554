/* SPDX-License-Identifier: Apache-2.0
 *
 * server: the listening socket and its connections; one poll loop, no threads. Each turn reads at most one message of
 * each connection, so that a busy one does not starve the others, and answers it at once. A peer of another uid is
 * closed unread; so is one more than SERVER_CONNECTIONS_MAX, a message that is empty or too long, and a peer that does not
 * take its replies. A connection that has not attached may be silent for SERVER_SILENT_MS, one of a sign-in for as long as a
 * person may take for it, an attached one for good.
 */
#ifndef SBX_KEEPER_SERVER_H
#define SBX_KEEPER_SERVER_H

#include "base/err.h"
#include "keeper/answer.h"

#define SERVER_CONNECTIONS_MAX 256
#define SERVER_SILENT_MS 10000
#define SERVER_LOGIN_MS (75 * 60 * 1000) /* more than OIDC_WAIT_MAX_S */

/* Serves listen_fd (non-blocking) until there was no connection for idle_ms: 0. Negative with err: poll failed. */
int server_run(const struct keeper *k, int listen_fd, int idle_ms, struct err *err);

#endif
