/* SPDX-License-Identifier: Apache-2.0
 *
 * netctl: the supervisor's end of the proxy's control socket (docs/network.md): one JSON object per datagram, with at
 * most one descriptor towards the proxy and none from it. The proxy reads what the guest sends, so what it says is
 * checked like any outside input. Nothing is queued here: a proxy whose socket is full does not read, and is of no use.
 */
#ifndef SBX_VM_NETCTL_H
#define SBX_VM_NETCTL_H

#include <jansson.h>
#include <uv.h>

#define NETCTL_MAX_BYTES (64 * 1024)

struct netctl;

struct netctl_ops {
	/* One message, an object; borrowed. netctl_free is allowed inside. */
	void (*message)(void *user, const json_t *message);
	/* The socket ended (0), or failed, or said something that is no message. Once, and last. */
	void (*end)(void *user, int error);
};

/* fd is owned from here on, even on failure (NULL). ops is borrowed. */
struct netctl *netctl_new(uv_loop_t *loop, int fd, const struct netctl_ops *ops, void *user);
/* The message is stolen (NULL: -ENOMEM); fd stays the caller's, -1 for none. 0, -EMSGSIZE, -EAGAIN (full), -EPIPE... */
int netctl_send(struct netctl *c, json_t *message, int fd);
/* No callback any more; the memory goes later, from the loop. NULL is allowed. */
void netctl_free(struct netctl *c);

#endif
