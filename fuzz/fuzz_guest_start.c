/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_guest_start: a START record's JSON. What is accepted can be run.
 */
#include <assert.h>

#include "guest/start.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct err err = { 0 };
	struct start s;

	if (start_parse(bytes, n, &s, &err) == 0)
		assert(s.argv[0] && s.argv[0][0] && s.user && s.term && (!s.cwd || s.cwd[0] == '/'));
	else
		assert(err.kind != ERR_NONE && !s.argv);
	start_done(&s);
	return 0;
}
