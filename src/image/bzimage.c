/* SPDX-License-Identifier: Apache-2.0
 *
 * bzimage: see bzimage.h. Enters: the bytes of a file that calls itself a kernel. Leaves: a range within them.
 */
#include "image/bzimage.h"

#include <errno.h>
#include <string.h>

#define SECTOR 512U
#define HEADER_END 0x250U
#define SIZE_MAX_BYTES (512U << 20)

static uint32_t le16(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t le32(const uint8_t *p)
{
	return le16(p) | le16(p + 2) << 16;
}

int bzimage_parse(const uint8_t *bytes, size_t n, struct bzimage *ret, struct err *err)
{
	uint64_t begin, len;
	size_t tail = 4;
	uint32_t size;

	if (n < HEADER_END || le16(bytes + 0x1fe) != 0xaa55 || memcmp(bytes + 0x202, "HdrS", 4) != 0)
		return err_set(err, ERR_INVALID, ENOEXEC, "the kernel is no x86 boot image");
	if (le16(bytes + 0x206) < 0x208)
		return err_set(err, ERR_INVALID, ENOEXEC, "the kernel's boot protocol %#x is older than 2.08",
			       le16(bytes + 0x206));
	/* 0 means 4, for the sake of very old boot loaders. */
	begin = ((uint64_t)(bytes[0x1f1] ? bytes[0x1f1] : 4) + 1) * SECTOR + le32(bytes + 0x248);
	len = le32(bytes + 0x24c);
	if (len <= tail + 4 || begin > n || len > n - begin)
		return err_set(err, ERR_INVALID, ENOEXEC, "the kernel's payload lies outside of its file");
	size = le32(bytes + begin + len - tail);
	if (size == 0 || size > SIZE_MAX_BYTES)
		return err_set(err, ERR_INVALID, ENOEXEC, "the kernel's payload claims to be %u bytes unpacked", size);
	/* gzip carries the size in its own trailer, which must stay; for the others it was appended. */
	if (bytes[begin] == 0x1f && bytes[begin + 1] == 0x8b)
		tail = 0;
	*ret = (struct bzimage){ .offset = (size_t)begin, .len = (size_t)(len - tail), .size = size };
	return 0;
}
