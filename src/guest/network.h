/* SPDX-License-Identifier: Apache-2.0
 *
 * network: what /setup does for a sandbox that has a network (docs/network.md, "In the guest").
 */
#ifndef SBX_GUEST_NETWORK_H
#define SBX_GUEST_NETWORK_H

#include "base/err.h"
#include "guest/guest.h"
#include "guest/vars.h"

/* What is the same in every sandbox: the device and nftables, and the door's port. Opening that is the last thing that a
 * guest does before it waits to be told who it is: whoever freezes machines takes it as the sign. Bounded wait. */
int network_open(struct err *err);
/* The files that name it, in the new root. Blocks: part of setup_run. */
int network_prepare(struct err *err);
/* The loop's part: listens, and opens the network door. After network_prepare. */
int network_start(struct guest *g, struct err *err);
/* The variables that name the forward proxy: 0, -ENOMEM, -E2BIG. */
int network_vars(struct vars *v);

#endif
