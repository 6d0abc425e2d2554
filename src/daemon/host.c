/* SPDX-License-Identifier: Apache-2.0
 *
 * host: see host.h.
 */
#include "daemon/host.h"

#include "base/hostprog.h"
#include "daemon/admission.h"

int host_ready(const struct daemon *d, struct err *err)
{
	int r = hostprog_qemu(err);

	if (r == 0)
		r = hostprog_bwrap(err);
	if (r == 0)
		r = disk_ready(&d->disks, err);
	return r == 0 ? admission_room(d, err) : r;
}
