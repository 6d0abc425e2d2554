/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_wsframe: WebSocket frames of one direction, whole and byte by byte: both must be accepted, or both refused.
 */
#include <assert.h>
#include <stdint.h>

#include "wire/wsframe.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct wsframe whole, single;
	int r = 0, s = 0;

	if (n == 0)
		return 0;
	wsframe_init(&whole, bytes[0] & 1 ? WSFRAME_SERVER : WSFRAME_CLIENT, bytes[0] & 2);
	single = whole;
	r = wsframe_feed(&whole, bytes + 1, n - 1);
	for (size_t i = 1; i < n && s == 0; i++)
		s = wsframe_feed(&single, bytes + i, 1);
	assert(r == s);
	assert(r < 0 || (whole.left == single.left && whole.head_n == single.head_n && whole.in_message == single.in_message));
	return 0;
}
