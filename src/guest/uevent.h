/* SPDX-License-Identifier: Apache-2.0
 *
 * uevent: waiting for a device. The kernel announces every device by netlink (NETLINK_KOBJECT_UEVENT); each
 * announcement is only a reason to look again.
 */
#ifndef SBX_GUEST_UEVENT_H
#define SBX_GUEST_UEVENT_H

#include <stdint.h>

/* Calls check(arg) now and after each announcement until it returns non-zero (1: there; negative errno: give up) or
 * the deadline (io_now_ms) passes. 0, -ETIMEDOUT, or what check returned. Blocks: not for the loop's thread once
 * sessions exist. */
int uevent_until(int (*check)(void *arg), void *arg, uint64_t deadline_ms);

#endif
