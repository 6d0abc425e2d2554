/* SPDX-License-Identifier: Apache-2.0
 *
 * tune: limits and kernel settings that a developer expects of a machine. All are best effort: a kernel without one of
 * them is still a usable machine.
 */
#ifndef SBX_GUEST_TUNE_H
#define SBX_GUEST_TUNE_H

/* Resource limits of this process, inherited by all sessions. */
void tune_limits(void);
/* sysctls, the loopback interface, the controllers of the cgroup2 file system mounted at cgroup; needs /proc. */
void tune_system(const char *cgroup);

#endif
