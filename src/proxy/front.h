/* SPDX-License-Identifier: Apache-2.0
 *
 * front: the network door (docs/network.md): an HTTP/2 server to the guest, whose every CONNECT stream becomes a chan and goes to
 * entry. What cannot be read as a destination is reset.
 */
#ifndef SBX_PROXY_FRONT_H
#define SBX_PROXY_FRONT_H

#define FRONT_STREAMS_MAX 1024
/* The forward proxy's address, as the guest sees it. */
#define FRONT_GATEWAY "gateway.docker.internal"
#define FRONT_GATEWAY_PORT 3128

struct proxy;
struct front;

/* fd is owned, also on failure (NULL). The door's end is the proxy's (proxy_end). */
struct front *front_new(struct proxy *p, int fd);
/* Ends every stream; not from within a callback of one of its chans. */
void front_free(struct front *f);

#endif
