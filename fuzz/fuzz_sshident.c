/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_sshident: a side's first bytes, whole and byte by byte: the same verdict, and no more bytes held than the bound.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "wire/sshident.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct sshident whole, single;
	enum sshident_result r, s = SSHIDENT_MORE;

	if (n == 0)
		return 0;
	sshident_init(&whole, bytes[0] & 1 ? SSHIDENT_SERVER : SSHIDENT_CLIENT);
	single = whole;
	r = sshident_feed(&whole, bytes + 1, n - 1);
	for (size_t i = 1; i < n; i++)
		s = sshident_feed(&single, bytes + i, 1);
	assert(r == s);
	assert(r != SSHIDENT_MORE || n - 1 <= SSHIDENT_MAX);
	/* Whatever is one begins a line with it. */
	assert(r != SSHIDENT_YES || memmem(bytes + 1, n - 1, "SSH-", 4));
	return 0;
}
