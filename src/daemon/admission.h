/* SPDX-License-Identifier: Apache-2.0
 *
 * admission: whether the host can hold one machine more. A sandbox's size is a promise of how far it may grow, and is not set
 * aside: what counts is what a machine takes while it starts, and what the user wants left to the host. Never in the way of
 * what runs.
 */
#ifndef SBX_DAEMON_ADMISSION_H
#define SBX_DAEMON_ADMISSION_H

#include <stdint.h>

#include "base/err.h"
#include "daemon/sandbox.h"

/* Of a sandbox that is stopped. 0, or unavailable with the figures and what to do. reserve_bytes is the setting sandbox.memoryReserve. A host that does not tell
 * its memory is no reason to refuse. */
int admission_check(const struct sandbox *s, uint64_t reserve_bytes, struct err *err);
/* The same for one that is not made yet, before much is done for it. */
int admission_room(const struct daemon *d, struct err *err);
/* What a sandbox can have at most: the host's memory, or what a control group leaves of it. */
uint64_t admission_total_mib(void);

#endif
