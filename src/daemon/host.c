/* SPDX-License-Identifier: Apache-2.0
 *
 * host: see host.h.
 */
#include "daemon/host.h"

#include "base/hostprog.h"

int host_ready(const struct disk_home *disks, struct err *err)
{
	int r = hostprog_qemu(err);

	if (r == 0)
		r = hostprog_bwrap(err);
	return r == 0 ? disk_ready(disks, err) : r;
}
