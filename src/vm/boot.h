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

/* Steps of a start, for resume.h. state: the file door's saved one, -1: none. */
struct shape boot_shape(const struct machine *m);
int boot_files(struct machine *m, int state, struct err *err);
int boot_launch(struct machine *m, enum qemu_mode mode, struct err *err);
int boot_network(struct machine *m, struct err *err);
/* QEMU loads the devices' state from its descriptor of that number. 0 or -errno. */
int boot_incoming(struct machine *m, int state);
/* A session on fd, which is taken over; NULL on failure. */
struct door *boot_door(struct machine *m, int fd);

#endif
