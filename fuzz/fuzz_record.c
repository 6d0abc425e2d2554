/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_record: a stream of session records. What decodes encodes again to the same bytes.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "wire/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct buf again;
	struct record rec;
	size_t at = 0;
	int took;

	buf_init(&again, RECORD_HEAD + RECORD_MAX);
	while ((took = record_decode(bytes + at, n - at, &rec)) > 0) {
		assert((size_t)took == RECORD_HEAD + rec.len && rec.len <= RECORD_MAX && at + (size_t)took <= n);
		(void)record_from_guest(rec.type);
		assert(record_encode(&again, rec.type, rec.data, rec.len) == 0);
		assert(buf_len(&again) == (size_t)took && memcmp(buf_bytes(&again), bytes + at, (size_t)took) == 0);
		buf_consume(&again, (size_t)took);
		at += (size_t)took;
	}
	buf_done(&again);
	return 0;
}
