/* SPDX-License-Identifier: Apache-2.0
 *
 * landlock: from now on this process opens, makes and removes files only below one directory, or reads some and writes none
 * (Landlock, Linux 5.13 and later; landlock(7)). What is open stays open. Needs no_new_privs.
 */
#ifndef SBX_BASE_LANDLOCK_H
#define SBX_BASE_LANDLOCK_H

#include <stddef.h>

/* Below dirfd regular files may be read, written, made, renamed and removed and directories listed; everywhere else
 * nothing. 1: it holds; 0: this kernel has no Landlock, or it is turned off; -errno. */
int landlock_only_below(int dirfd);

/* Of the whole system these n files may be read, and these directories with all below; nothing is written. Results as above. */
int landlock_read_only(const int *fds, size_t n);

#endif
