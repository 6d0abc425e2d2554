/* SPDX-License-Identifier: Apache-2.0
 *
 * qemu: the machine's process. Builds QEMU's command line, starts it in its jail, and hands over the host ends of its
 * sockets. QEMU gets the kernel and the initramfs as read-only files of its jail and everything else by descriptor;
 * disks are opened here and attached later, through QMP (`/dev/fdset/N`).
 */
#ifndef SBX_VM_QEMU_H
#define SBX_VM_QEMU_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "vm/spec.h"

/* The network door's port as QMP calls it. */
#define QEMU_NET_PORT "net"

/* SCSI targets: the sandbox's own disk is 0, layer i is 1 + i; fdset numbers are one more than the target. */
#define QEMU_DISK_TARGET 0U
#define QEMU_LAYER_TARGET(i) (1U + (unsigned)(i))

struct qemu {
	int pidfd; /* of the jail; owned */
	pid_t pid;       /* QEMU's own, as the host sees it */
	int inner_pidfd; /* of QEMU itself: its end is the end of the last use of the disk; owned */
	int qmp_fd, ctl_fd, fs_fd, console_fd, stderr_fd; /* our ends; owned until taken */
	int net_path; /* the way to the socket on which the network door's chardev listens (netsock.h); owned until taken */
};

/* The descriptor of one disk is opened read-write (the sandbox's own) or read-only (layers). */
int qemu_start(const struct spec *spec, bool kvm, struct qemu *ret, struct err *err);
void qemu_done(struct qemu *q); /* closes what was not taken; does not end the process */

#endif
