/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_sealed: the container of an encrypted document. What decodes lies within the bytes, and is written again as it was.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "wire/sealed.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct sealed s;
	uint8_t *again, *nonce, *tag, *text;

	if (sealed_decode(bytes, n, &s) < 0)
		return 0;
	assert(s.text + s.n == bytes + n && s.nonce > bytes && s.tag == s.nonce + SEALED_NONCE_LEN);
	again = malloc(SEALED_HEAD + s.n);
	assert(again && sealed_begin(again, s.n, &nonce, &tag, &text) == 0);
	memcpy(nonce, s.nonce, SEALED_NONCE_LEN);
	memcpy(tag, s.tag, SEALED_TAG_LEN);
	memcpy(text, s.text, s.n);
	assert(memcmp(again, bytes, n) == 0);
	free(again);
	return 0;
}
