/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_fsstate: the saved state of a file session. What decodes is written again as it was. The checksum is put right
 * first, because no fuzzer would find one.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "wire/fsstate.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* Where the head's length and CRC stand, and what the CRC covers. */
#define CRC_AT 12
#define LENGTH_AT 16
#define COVERED 24

static void put_right(uint8_t *bytes, size_t n)
{
	uint32_t crc = 0xffffffffU;

	for (size_t i = COVERED; i < n; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320U : 0);
	}
	for (size_t i = 0; i < 4; i++)
		bytes[CRC_AT + i] = (uint8_t)(~crc >> 8 * i);
	for (size_t i = 0; i < 8; i++)
		bytes[LENGTH_AT + i] = (uint8_t)((uint64_t)n >> 8 * i);
}

#define COPY_ALL(kind, count)                                               \
	for (uint32_t i = 0; i < (count); i++) {                            \
		struct fsstate_##kind v;                                    \
                                                                            \
		assert(fsstate_get_##kind(&r, &v) == 0);                    \
		assert(fsstate_put_##kind(&again, &v) == 0);                \
	}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	uint8_t *copy = malloc(n + 1);
	struct fsstate_head h;
	struct fsstate_reader r;
	struct buf again;

	assert(copy);
	memcpy(copy, bytes, n);
	if (n >= COVERED)
		put_right(copy, n);
	if (fsstate_open(copy, n, &h, &r) == 0) {
		buf_init(&again, n);
		assert(fsstate_begin(&again) == 0);
		COPY_ALL(root, h.nroots)
		COPY_ALL(node, h.nnodes)
		for (uint32_t i = 0; i < h.ncontents; i++) {
			struct fsstate_content c;
			uint8_t *to = NULL;

			assert(fsstate_get_content(&r, &c) == 0);
			assert(fsstate_put_content(&again, &c, &to) == 0);
			if (c.n > 0)
				memcpy(to, c.bytes, c.n);
		}
		COPY_ALL(handle, h.nhandles)
		COPY_ALL(lock, h.nlocks)
		COPY_ALL(wait, h.nwaits)
		assert(fsstate_end(&again, &h) == 0);
		assert(buf_len(&again) == n && memcmp(buf_bytes(&again), copy, n) == 0);
		buf_done(&again);
	}
	free(copy);
	return 0;
}
