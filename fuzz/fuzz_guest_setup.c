/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_guest_setup: the body of /setup. No path that is accepted hides the system; a CA that is accepted is PEM.
 */
#include <assert.h>

#include "guest/paths.h"
#include "guest/setup.h"
#include "guest/trust.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct err err = { 0 };
	struct setup s;

	if (setup_parse(bytes, n, &s, &err) == 0) {
		assert(!s.ca || trust_is_pem(s.ca));
		for (size_t i = 0; i < s.nworkspaces; i++)
			assert(paths_check_workspace(s.workspaces[i].path, &err) == 0);
	} else {
		assert(err.kind != ERR_NONE && !s.workspaces && !s.ca);
	}
	setup_done(&s);
	return 0;
}
