/* SPDX-License-Identifier: Apache-2.0
 *
 * hostprog: see hostprog.h.
 */
#include "base/hostprog.h"

#include <errno.h>
#include <unistd.h>

int hostprog_qemu(struct err *err)
{
	if (access(HOSTPROG_QEMU, X_OK) == 0)
		return 0;
	return err_set(err, ERR_UNAVAILABLE, ENOENT, "QEMU is not installed (%s): install the Debian package qemu-system-x86",
		       HOSTPROG_QEMU);
}

int hostprog_bwrap(struct err *err)
{
	if (access(HOSTPROG_BWRAP, X_OK) == 0)
		return 0;
	return err_set(err, ERR_UNAVAILABLE, ENOENT, "bubblewrap is not installed (%s): install the Debian package bubblewrap",
		       HOSTPROG_BWRAP);
}
