/* SPDX-License-Identifier: Apache-2.0
 *
 * boot: from nothing to a machine that can run programs: helpers started, guest answers, disks attached, root set up,
 * and the nonce read back through the file door. Ends in machine_started or machine_failed, exactly once.
 */
#ifndef SBX_VM_BOOT_H
#define SBX_VM_BOOT_H

#include "vm/machine.h"

void boot_begin(struct machine *m);
/* The machine's process ended during STARTING: tries again without KVM where that is allowed, else fails. */
void boot_machine_ended(struct machine *m);

#endif
