/* SPDX-License-Identifier: Apache-2.0
 *
 * cpus: brings up the processors that the kernel left offline at boot (kernel parameter maxcpus=1).
 *
 * Under QEMU's multi-threaded emulation a kernel that patches its own code while another processor translates the same
 * bytes may run a stale breakpoint and die ("Oops: int3"); most of that patching happens during the kernel's boot.
 * So the kernel boots on one processor, and the others join here.
 */
#ifndef SBX_GUEST_CPUS_H
#define SBX_GUEST_CPUS_H

/* Best effort; needs /sys. */
void cpus_online(void);
/* Keeps the calling thread, and threads that it makes meanwhile, on the first processor; and ends that for itself. A setup has one thing to do at a time, and what an emulated machine spends on moving it between processors is
 * more than it gains: QEMU's CPU time from waking to the end of the first program was 815 ms before, 700 ms after. */
void cpus_one(void);
void cpus_all(void);

#endif
