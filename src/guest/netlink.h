/* SPDX-License-Identifier: Apache-2.0
 *
 * netlink: messages to the kernel (netlink(7)) and its acknowledgements. A message is built attribute by attribute in a
 * buffer of fixed size; several may be sent at once, which nfnetlink wants for a batch. A building error is remembered, so
 * that only netlink_run has to be asked.
 */
#ifndef SBX_GUEST_NETLINK_H
#define SBX_GUEST_NETLINK_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define NETLINK_BYTES 16384

struct netlink {
	int fd; /* owned */
	uint32_t seq;
	int error;      /* of building, 0 or -errno */
	size_t message; /* where the open message begins */
	unsigned acks;  /* that the messages in out ask for */
	struct buf out;
};

/* protocol: NETLINK_ROUTE, NETLINK_NETFILTER. 0 or -errno. */
int netlink_open(struct netlink *l, int protocol);
void netlink_close(struct netlink *l);

/* Begins a message; fixed is what stands before its attributes (struct ifinfomsg, struct nfgenmsg). */
void netlink_begin(struct netlink *l, uint16_t type, uint16_t flags, const void *fixed, size_t n);
void netlink_end(struct netlink *l);
/* One attribute. Numbers: _u32 in host order (rtnetlink), _be32 in network order (nfnetlink). */
void netlink_put(struct netlink *l, uint16_t type, const void *bytes, size_t n);
void netlink_put_u8(struct netlink *l, uint16_t type, uint8_t value);
void netlink_put_u32(struct netlink *l, uint16_t type, uint32_t value);
void netlink_put_be32(struct netlink *l, uint16_t type, uint32_t value);
void netlink_put_str(struct netlink *l, uint16_t type, const char *s);
/* Attributes within one; nest is to be given back. */
size_t netlink_nest(struct netlink *l, uint16_t type);
void netlink_unnest(struct netlink *l, size_t nest);

/* Sends what was built and waits, up to 5 s, for what it asked to be acknowledged (NLM_F_ACK): 0, or the first refusal as
 * -errno. Nothing is left to send afterwards. */
int netlink_run(struct netlink *l);

#endif
