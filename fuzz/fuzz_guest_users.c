/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_guest_users: SPEC NUL passwd NUL group, as an image may bring them.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guest/users.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	char *text = calloc(1, n + 3);
	char *passwd, *group;
	struct user u;

	if (!text)
		return 0;
	if (n)
		memcpy(text, bytes, n);
	passwd = text + strlen(text) + 1;
	group = passwd + strlen(passwd) + 1;
	if (users_resolve(passwd, group, text, &u, NULL) == 0)
		assert(u.home[0] == '/' && u.shell[0] == '/' && u.name[0] && u.ngroups <= USERS_GROUPS_MAX &&
		       u.uid != (uid_t)-1 && u.gid != (gid_t)-1);
	free(text);
	return 0;
}
