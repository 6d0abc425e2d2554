/* SPDX-License-Identifier: Apache-2.0
 *
 * ws: WebSocket through an exchange. The handshake is checked on both sides (the request by httpmsg, the answer here): only then are
 * both directions bytes, and then only bytes that are frames.
 */
#ifndef SBX_PROXY_WS_H
#define SBX_PROXY_WS_H

#include "wire/httpmsg.h"
#include "wire/wsframe.h"

#define WS_IDLE_MS (60 * 60 * 1000)

struct ws {
	struct wsframe from_client, from_server;
};

/* Whether a 101 is the answer to this handshake: Sec-WebSocket-Accept fits the key, a subprotocol and extensions only as offered.
 * NULL: yes, and *ret is ready; else what is wrong. */
const char *ws_accept(const struct httpmsg *req, const struct httpmsg *res, struct ws *ret);
/* The checker of what one side sends. */
struct wsframe *ws_direction(struct ws *w, bool client);

#endif
