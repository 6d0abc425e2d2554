/* SPDX-License-Identifier: Apache-2.0
 *
 * netdoor: the guest's end of the network door: the port sbx.net, and on it an HTTP/2 session whose client we are. When
 * the host's end goes, every stream is closed; when it comes back, a new session begins.
 *
 *   NETDOOR_AWAY     nothing is open; a timer opens the port
 *   NETDOOR_WAITING  the port is open, the host's end is not there
 *   NETDOOR_OPEN     there is a session; streams can be opened
 *   NETDOOR_CLOSING  the session is over; AWAY follows
 *
 * A change of the host's end that is too quick to be seen leaves two ends that talk past each other. So the client makes
 * certain: where nothing came for a while and something is wanted, it sends a PING, and begins anew where that brings no
 * byte. It always begins with a port that was closed in between, which empties it.
 */
#ifndef SBX_GUEST_NETDOOR_H
#define SBX_GUEST_NETDOOR_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "guest/netjoin.h"
#include "wire/h2.h"

/* What carries the session. */
struct netdoor_port {
	/* A new descriptor, or -errno: tried again later. */
	int (*open)(void *user);
	/* Whether the other end is there, and a descriptor that becomes readable when that changes. Both NULL where an open
	 * descriptor is always connected (a socket). */
	bool (*connected)(int fd);
	int (*watch)(int fd);
	void (*watch_clear)(int watch_fd);
	/* With nothing heard for quiet_ms a PING is due; without a byte for dead_ms after it the session is over. 0: 5 s, 15 s. */
	uint64_t quiet_ms, dead_ms;
};

struct netdoor;

/* Opens the port soon. port is borrowed. NULL on -ENOMEM. */
struct netdoor *netdoor_new(uv_loop_t *loop, const struct netdoor_port *port, void *user);
/* Ends everything; it lasts until the loop has let go of the handles. */
void netdoor_free(struct netdoor *d);

/* Opens a stream to authority ("name:port") for j and starts it; where there is no session, j is reset. */
void netdoor_connect(struct netdoor *d, const char *authority, struct netjoin *j);
/* Begins anew: every stream of the session, if there is one, is closed. */
void netdoor_renew(struct netdoor *d);
/* The session wants to be sent. */
void netdoor_kick(struct netdoor *d);
/* Whether there is a session. */
bool netdoor_is_open(const struct netdoor *d);

#endif
