/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_dotenv: a file of variables. It ends, every entry is a name and a value without zero bytes, and each call gets on.
 */
#include <assert.h>
#include <string.h>

#include "wire/dotenv.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static struct dotenv_entry e;
	struct dotenv d;
	int r;

	dotenv_init(&d, (const char *)bytes, n);
	do {
		const char *at = d.at;

		r = dotenv_next(&d, &e);
		assert(d.at >= at && d.at <= d.end && (r == 0 || d.at > at));
		assert(r != 1 || (e.name[0] && strlen(e.name) < sizeof(e.name) && strlen(e.value) == e.n && e.n <= DOTENV_VALUE));
	} while (r != 0);
	assert(d.line <= n + 1);
	return 0;
}
