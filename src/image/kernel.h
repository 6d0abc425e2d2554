/* SPDX-License-Identifier: Apache-2.0
 *
 * kernel: the third step, out of what the bootstrap left: JOB_VMLINUX, the kernel as an uncompressed ELF file for PVH
 * boot; JOB_MODULES, a newc archive of the modules that the guest loads before its root disk is there, uncompressed,
 * as modules/NN-NAME.ko in load order, padded to 512 bytes; JOB_RELEASE, the kernel's release as a line.
 */
#ifndef SBX_IMAGE_KERNEL_H
#define SBX_IMAGE_KERNEL_H

#include "image/job.h"

int kernel_make(const struct job *j, struct err *err);

#endif
