/* SPDX-License-Identifier: Apache-2.0
 *
 * landlock: from now on this process opens, makes and removes files only below one directory (Landlock, Linux 5.13 and
 * later; landlock(7)). What is open stays open. Needs no_new_privs.
 */
#ifndef SBX_BASE_LANDLOCK_H
#define SBX_BASE_LANDLOCK_H

/* Below dirfd regular files may be read, written, made, renamed and removed and directories listed; everywhere else
 * nothing. 1: it holds; 0: this kernel has no Landlock, or it is turned off; -errno. */
int landlock_only_below(int dirfd);

#endif
