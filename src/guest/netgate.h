/* SPDX-License-Identifier: Apache-2.0
 *
 * netgate: the guest's side of the network (docs/network.md): the listener that nftables brings every outgoing connection
 * to, the forward proxy's address, the name server, and behind them the network door.
 */
#ifndef SBX_GUEST_NETGATE_H
#define SBX_GUEST_NETGATE_H

#include <stdint.h>
#include <uv.h>

#include "base/err.h"
#include "guest/netdoor.h"

#define NETGATE_ADDRESS 0xc6120001U /* 198.18.0.1: where all of it listens */
#define NETGATE_PREFIX 15
#define NETGATE_PORT 61128 /* transparent; above the kernel's own choices for clients */
#define NETGATE_PROXY_PORT 3128
#define NETGATE_DNS_PORT 53
#define NETGATE_CONNECTIONS 1024 /* at once; more are reset */
#define NETGATE_AUTHORITY_MAX 280

struct netgate_config {
	uv_loop_t *loop;  /* borrowed */
	uint8_t seed[16]; /* the sandbox's own: chooses addresses for names */
	uint32_t address; /* host order */
	uint16_t port, proxy_port, dns_port; /* 0: any free one */
	const struct netdoor_port *door; /* borrowed */
	void *door_user;
};

struct netgate;

int netgate_start(const struct netgate_config *c, struct netgate **ret, struct err *err);
/* Resets all connections. It lasts until the loop has let go of the handles. */
void netgate_free(struct netgate *g);

/* Where it listens: the ports of the configuration, chosen ones filled in. */
void netgate_ports(const struct netgate *g, uint16_t *ret_port, uint16_t *ret_proxy_port, uint16_t *ret_dns_port);
/* Connections now, and whether there is a session with the host. */
size_t netgate_connections(const struct netgate *g);
/* The host behind the door is another one: all that goes through it is reset. */
void netgate_renew(struct netgate *g);
bool netgate_is_open(const struct netgate *g);

#endif
