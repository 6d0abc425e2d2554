/* SPDX-License-Identifier: Apache-2.0
 *
 * hostprog: the host's programs that a machine cannot do without, and the one-line errors where one is missing. By fixed
 * paths, not by PATH: a jail is not made of what somebody's environment happens to name.
 */
#ifndef SBX_BASE_HOSTPROG_H
#define SBX_BASE_HOSTPROG_H

#include "base/err.h"

#define HOSTPROG_QEMU "/usr/bin/qemu-system-x86_64"
#define HOSTPROG_BWRAP "/usr/bin/bwrap"

/* 0, or ERR_UNAVAILABLE naming the program and the Debian package to install. */
int hostprog_qemu(struct err *err);
int hostprog_bwrap(struct err *err);

#endif
