/* SPDX-License-Identifier: Apache-2.0
 *
 * disks: from a SCSI target id to a block device. Disks may be plugged in long after boot.
 */
#ifndef SBX_GUEST_DISKS_H
#define SBX_GUEST_DISKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define DISKS_PATH_MAX 64

/* Waits for the disk at *:0:TARGET:0 and writes its device path, such as "/dev/sda", to ret. */
int disks_wait(unsigned target, uint64_t deadline_ms, char ret[DISKS_PATH_MAX], struct err *err);
/* Whether an address "H:C:T:L" as sysfs names it is channel 0, this target, LUN 0. */
bool disks_address_is(const char *hctl, unsigned target);

#endif
