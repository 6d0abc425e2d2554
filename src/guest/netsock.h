/* SPDX-License-Identifier: Apache-2.0
 *
 * netsock: sockets of the guest's own side of the network.
 */
#ifndef SBX_GUEST_NETSOCK_H
#define SBX_GUEST_NETSOCK_H

#include <stdint.h>

/* A bound (SOCK_DGRAM) or listening (SOCK_STREAM) IPv4 socket at address (host order), non-blocking and CLOEXEC; -errno.
 * *port 0 takes any free one and says which. */
int netsock_listen(int type, uint32_t address, uint16_t *port, int backlog);
/* Where a connection that nftables brought here wanted to go, in host order (SO_ORIGINAL_DST): 0 or -errno. */
int netsock_original(int fd, uint32_t *ret_address, uint16_t *ret_port);

#endif
