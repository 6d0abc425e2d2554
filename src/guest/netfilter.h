/* SPDX-License-Identifier: Apache-2.0
 *
 * netfilter: the nftables table "sbx", which takes what would leave by the device of netdev, from here or from a nested
 * container: TCP goes to netgate's transparent listener, port 53 to its name server, anything else is refused at once.
 * What stays within the guest is not touched.
 */
#ifndef SBX_GUEST_NETFILTER_H
#define SBX_GUEST_NETFILTER_H

#include <stdint.h>

#include "base/err.h"
#include "guest/netlink.h"

/* address (host order): where netgate listens, at port, and its name server, at dns_port. */
struct netfilter {
	const char *device;
	uint32_t address;
	uint16_t port, dns_port;
};

/* Replaces the table. Blocks. */
int netfilter_apply(const struct netfilter *f, struct err *err);
/* The batch of messages that does it. */
void netfilter_encode(struct netlink *l, const struct netfilter *f);

#endif
