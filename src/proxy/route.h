/* SPDX-License-Identifier: Apache-2.0
 *
 * route: what the kernel says about the way to an address (rtnetlink): whether it is the host's own, and whether a router
 * stands between. Asked for each address right before it is dialled.
 */
#ifndef SBX_PROXY_ROUTE_H
#define SBX_PROXY_ROUTE_H

#include <uv.h>

#include "policy/policy.h"

struct route;

/* NULL: no netlink. */
struct route *route_new(uv_loop_t *loop);
void route_free(struct route *r);
/* Fills ret->own and ret->on_link for ret->address. -ENETUNREACH (or the kernel's error): there is no way to it. Does not block. */
int route_look(struct route *r, struct policy_address *ret);

#endif
