/* SPDX-License-Identifier: Apache-2.0
 *
 * netdev: the device that all outgoing traffic is routed to. Nothing ever leaves by it: netfilter takes what it can carry
 * before that, and refuses the rest.
 */
#ifndef SBX_GUEST_NETDEV_H
#define SBX_GUEST_NETDEV_H

#include <stdint.h>

#include "base/err.h"

#define NETDEV_NAME "sbx0"

/* Makes the device (kind "dummy", or NULL where it is there already), gives it the address (host order) and the default
 * route, and brings it and the loopback device up, it without IPv6. Blocks. */
int netdev_up(const char *kind, uint32_t address, uint8_t prefix, struct err *err);

#endif
