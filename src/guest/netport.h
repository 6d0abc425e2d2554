/* SPDX-License-Identifier: Apache-2.0
 *
 * netport: POST /port of the control door: a connection from outside to a port that a program of the sandbox listens at
 * (docs/network.md, "Published ports").
 */
#ifndef SBX_GUEST_NETPORT_H
#define SBX_GUEST_NETPORT_H

#include "guest/ctl.h"

#define NETPORT_MAX 512 /* at once; more are reset */

/* The operation for a request that arrived. NULL where it cannot be: no port, too many, -ENOMEM. */
struct ctl_stream *netport_new(struct guest *g, struct h2_stream *s, const struct h2_head *head);

#endif
