/* SPDX-License-Identifier: Apache-2.0
 *
 * netdns: the name server of a sandbox, over UDP and TCP. It makes its answers up (docs/network.md): an address of our own
 * for any name with a dot, and no query leaves the machine.
 */
#ifndef SBX_GUEST_NETDNS_H
#define SBX_GUEST_NETDNS_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/buf.h"
#include "base/err.h"
#include "guest/netnames.h"

#define NETDNS_TTL 60
#define NETDNS_TCP_MAX 64 /* connections at once; more are closed */
#define NETDNS_ANSWER_MAX 1024

/* Appends the answer to one message (tcp: without its length) to out, or nothing where it is worth none. gateway is the
 * address, in host order, of gateway.docker.internal. */
void netdns_answer(struct netnames *names, uint32_t gateway, const uint8_t *bytes, size_t n, bool tcp, struct buf *out);

struct netdns;

/* Listens at address (host order), port (0: any). names is borrowed. */
int netdns_start(uv_loop_t *loop, struct netnames *names, uint32_t address, uint16_t port, struct netdns **ret,
		 struct err *err);
uint16_t netdns_port(const struct netdns *d);
/* It lasts until the loop has let go of the handles. */
void netdns_free(struct netdns *d);

#endif
