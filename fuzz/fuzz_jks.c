/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_jks: a key store; what is made of it is a store that holds what was put in, and no entry is lost.
 */
#include <assert.h>

#include "wire/jks.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static const uint8_t der[2][3] = { { 0x30, 1, 1 }, { 0x30, 1, 2 } };
	static const struct jks_cert certs[2] = { { der[0], 3 }, { der[1], 3 } };
	struct jks_change change = { .alias = "debian:sbx.pem", .certs = certs, .ncerts = 2, .now_ms = 1 };
	struct buf out, again;
	int r;

	buf_init(&out, n + 4096);
	buf_init(&again, n + 4096);
	r = jks_put(bytes, n, &change, &out);
	assert((r == 1) == (buf_len(&out) > 0));
	if (r == 1) {
		assert(jks_put(buf_bytes(&out), buf_len(&out), &change, &again) == 0);
		change.ncerts = 0;
		assert(jks_put(buf_bytes(&out), buf_len(&out), &change, &again) == 1);
		assert(buf_len(&again) <= n);
	}
	buf_done(&out);
	buf_done(&again);
	return 0;
}
