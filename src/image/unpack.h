/* SPDX-License-Identifier: Apache-2.0
 *
 * unpack: one compressed stream in memory (gzip, bzip2, xz, lzma, zstd, lz4 by libarchive), or one that is none.
 */
#ifndef SBX_IMAGE_UNPACK_H
#define SBX_IMAGE_UNPACK_H

#include "base/buf.h"
#include "base/err.h"

/* Appends what n bytes unpack to; out's maximum bounds it. */
int unpack_bytes(const void *bytes, size_t n, struct buf *out, struct err *err);

#endif
