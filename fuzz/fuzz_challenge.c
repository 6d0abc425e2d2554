/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_challenge: WWW-Authenticate fields, one per line. What is taken is printable and within its bounds; what is refused leaves the
 * list as it was.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "wire/challenge.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void printable(const char s[CHALLENGE_TEXT])
{
	size_t n = strnlen(s, CHALLENGE_TEXT);

	assert(n < CHALLENGE_TEXT);
	for (size_t i = 0; i < n; i++)
		assert(s[i] >= ' ' && s[i] <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static struct challenges list, was;
	const char *at = (const char *)bytes, *end = at + n;

	memset(&list, 0, sizeof(list));
	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));

		if (!stop)
			stop = end;
		was = list;
		if (challenge_add(&list, at, (size_t)(stop - at)) < 0)
			assert(memcmp(&list, &was, sizeof(list)) == 0);
		assert(list.n >= was.n && list.n <= CHALLENGE_MAX);
		at = stop < end ? stop + 1 : end;
	}
	for (size_t i = 0; i < list.n; i++) {
		printable(list.of[i].realm);
		printable(list.of[i].service);
		printable(list.of[i].scope);
	}
	return 0;
}
