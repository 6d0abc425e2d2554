/* SPDX-License-Identifier: Apache-2.0
 *
 * loginshell: Debian's /etc/profile asks `id` and `run-parts` in each login shell, which agents start for each command. Two programs
 * cost little on a host, and 150 ms of an emulated machine: the shell can tell both by itself.
 */
#ifndef SBX_GUEST_LOGINSHELL_H
#define SBX_GUEST_LOGINSHELL_H

/* Puts what the shell can tell in the place of the two questions in the file at path, where they are there as Debian asks them;
 * everything else in it stays. Before programs run. 0: done or nothing to do; -errno. */
int loginshell_mend(const char *path);

#endif
