/* SPDX-License-Identifier: Apache-2.0
 *
 * qemuargs: QEMU's command line. A machine that is frozen and the one that is thawed from it have the same devices in the
 * same places; what differs is what stands at the host's end of them, where the memory comes from, and that a thawed
 * one needs no kernel.
 */
#ifndef SBX_VM_QEMUARGS_H
#define SBX_VM_QEMUARGS_H

#include "vm/jail.h"
#include "vm/shape.h"

/* The network door's port as QMP calls it, and the control door's chardev. */
#define QEMU_NET_PORT "net"
#define QEMU_CTL_CHARDEV "ctl"

/* Of the build's data: the library that QEMU is given in a thawed machine. */
#define QEMU_DISCARD "sbx-discard.so"

/* SCSI targets: the sandbox's own disk, which is QEMU's QEMU_DISK_FILE, is 0, layer i is 1 + i. The disk and layer 0 are
 * there from the first moment, in a machine to be frozen too; further layers are plugged in. */
#define QEMU_DISK_TARGET 0U
#define QEMU_DISK_FILE "/dev/fdset/1"
#define QEMU_LAYER_TARGET(i) (1U + (unsigned)(i))

enum qemu_mode {
	QEMU_COLD,   /* boots; memory of its own in QEMU_IN_MEMORY */
	QEMU_FREEZE, /* boots to be frozen: memory in QEMU_IN_MEMORY, nobody at its doors, nothing on its own disk */
	QEMU_THAW,   /* waits for migrate-incoming with x-ignore-shared; memory is a private view of QEMU_IN_MEMORY */
	/* Stands still until `cont`, after migrate-incoming of what xen-save-devices-state wrote, which has no configuration in it;
	 * memory of its own in QEMU_IN_MEMORY. */
	QEMU_RESUME,
};

/* What QEMU gets as descriptors. Layers are files of its jail, "/layer/I", on mounts that are read-only: QEMU_FD_DIR
 * opens a descriptor anew with other rights, which must not reach what sandboxes share. */
enum qemu_in {
	QEMU_IN_QMP,
	QEMU_IN_CONSOLE,
	QEMU_IN_CTL,
	QEMU_IN_FS,
	QEMU_IN_NET,
	QEMU_IN_INITRD, /* COLD, FREEZE */
	QEMU_IN_MEMORY,
	QEMU_IN_STATE,  /* THAW, RESUME */
	QEMU_IN_DISK, /* all but FREEZE: the sandbox's own */
	QEMU_IN_COUNT
};

/* QEMU's own descriptors, since it opens its memory by a path. */
#define QEMU_FD_DIR "/fd"

/* Everything that QEMU itself is told, after jail_run. number[i]: the descriptor's number in the jail, -1: none. */
void qemuargs_add(struct jail *j, const struct shape *s, enum qemu_mode mode, const int *number);
/* What the jail must show besides the program; before jail_run. */
void qemuargs_show(struct jail *j, const struct shape *s, enum qemu_mode mode, const int *number);
/* Shows layer i. */
void qemuargs_layer(struct jail *j, const char *path, size_t i);
/* The files of the host that the machine consists of besides kernel and initramfs; NULL-terminated. */
extern const char *const qemuargs_files[];

#endif
