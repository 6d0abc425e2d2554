/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_fuse_guard: a stream of FUSE messages. What passes keeps its length and passes again.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "wire/fuse_guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct fuse_guard guard = { .init = n > 0 && bytes[0] != 0x68 };
	long len;

	for (size_t at = 0; (len = fuse_guard_length(bytes + at, n - at)) > 0 && (size_t)len <= n - at; at += (size_t)len) {
		uint8_t *frame = malloc((size_t)len); /* of its own, so that one byte too far is seen */
		int r;

		assert(frame);
		memcpy(frame, bytes + at, (size_t)len);
		r = fuse_guard_check(&guard, frame, (size_t)len);
		assert(r <= FUSE_GUARD_OWN && fuse_guard_length(frame, (size_t)len) == len);
		if (r == 0 && memcmp(frame, bytes + at, (size_t)len) == 0 && frame[4] != 26)
			assert(fuse_guard_check(&guard, frame, (size_t)len) == 0);
		free(frame);
	}
	return 0;
}
