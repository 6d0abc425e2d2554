/* SPDX-License-Identifier: Apache-2.0
 *
 * bzimage: where the compressed kernel lies in an x86 boot image. Source: Linux, Documentation/arch/x86/boot.rst, boot
 * protocol 2.08 and later: setup_sects (0x1f1), boot_flag (0x1fe), header "HdrS" (0x202), version (0x206),
 * payload_offset (0x248, from the beginning of the protected-mode code), payload_length (0x24c). No I/O.
 */
#ifndef SBX_IMAGE_BZIMAGE_H
#define SBX_IMAGE_BZIMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct bzimage {
	size_t offset; /* of the compressed ELF file */
	size_t len;    /* of it, without the size that the kernel's build appends */
	size_t size;   /* unpacked, as the image says; a claim */
};

/* 0 with offset + len <= n and len > 0, or an error that says what is wrong; *ret is untouched then. */
int bzimage_parse(const uint8_t *bytes, size_t n, struct bzimage *ret, struct err *err);

#endif
