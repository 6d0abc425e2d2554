/* SPDX-License-Identifier: Apache-2.0
 *
 * qemu: the machine's process. First its sockets are made and its disks opened, so that helpers can start on them at
 * once; then QEMU is started in its jail. It gets the kernel, the initramfs and the layers as read-only files of its jail
 * and everything else by descriptor; layers above the base are attached later, through QMP.
 */
#ifndef SBX_VM_QEMU_H
#define SBX_VM_QEMU_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "vm/qemuargs.h"
#include "vm/spec.h"

struct qemu {
	int pidfd; /* of the jail; owned */
	pid_t pid;       /* QEMU's own, as the host sees it */
	int inner_pidfd; /* of QEMU itself: its end is the end of the last use of the disk; owned */
	int qmp_fd, fs_fd, console_fd, stderr_fd; /* our ends; owned until taken */
	int ctl_path; /* the way to the socket on which the control door's chardev listens (netsock.h); owned */
	int memory;   /* what the machine's memory is a view of; owned, after qemu_launch */
	bool shares;  /* that is a sealed file of others, too: what the machine has written is QEMU's own */
	int net_path; /* the way to the socket on which the network door's chardev listens (netsock.h); owned until taken */
	int in[QEMU_IN_COUNT]; /* what QEMU will get, by enum qemu_in; owned until qemu_launch */
	int err_in;
};

void qemu_init(struct qemu *q); /* holds nothing */
/* QMP, console and stderr, as every machine has them. After a failure qemu_done. */
int qemu_open(struct qemu *q, struct err *err);
/* A connection to the control door, or -errno. */
int qemu_connect_ctl(const struct qemu *q);
/* The doors and the disks of a sandbox; the sandbox's own disk is locked, which may take a while. */
int qemu_open_sandbox(struct qemu *q, const struct spec *spec, struct err *err);
/* Starts it, with the layers of a sandbox where spec is not NULL, else with the base alone. THAW, RESUME: in[QEMU_IN_MEMORY] and
 * in[QEMU_IN_STATE] are set; FREEZE: the former. *ret_state (may be NULL) is the number of the latter in QEMU. */
int qemu_launch(struct qemu *q, const struct shape *shape, const struct spec *spec, enum qemu_mode mode, int *ret_state,
		struct err *err);
void qemu_done(struct qemu *q); /* closes what was not taken; does not end the process */

#endif
