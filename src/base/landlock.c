/* SPDX-License-Identifier: Apache-2.0
 *
 * landlock: see landlock.h. libc has no wrappers for the calls. Rights that the running kernel does not know are left out of
 * the ruleset, as it would refuse them.
 */
#include "base/landlock.h"

#include <errno.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/own.h"

/* Rights of ABI 1, and those that came later; the headers may be older than the kernel. */
#define RIGHTS_1 ((UINT64_C(1) << 13) - 1)
#define RIGHT_REFER (UINT64_C(1) << 13)    /* ABI 2 */
#define RIGHT_TRUNCATE (UINT64_C(1) << 14) /* ABI 3 */
#define RIGHT_IOCTL (UINT64_C(1) << 15)    /* ABI 5 */

#define BELOW                                                                                                      \
	(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_DIR |               \
	 LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE | RIGHT_TRUNCATE)

static uint64_t known_rights(long abi)
{
	uint64_t rights = RIGHTS_1;

	if (abi >= 2)
		rights |= RIGHT_REFER;
	if (abi >= 3)
		rights |= RIGHT_TRUNCATE;
	if (abi >= 5)
		rights |= RIGHT_IOCTL;
	return rights;
}

int landlock_only_below(int dirfd)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0UL, LANDLOCK_CREATE_RULESET_VERSION);
	struct landlock_ruleset_attr attr = { .handled_access_fs = known_rights(abi) };
	struct landlock_path_beneath_attr rule = { .parent_fd = dirfd, .allowed_access = BELOW & known_rights(abi) };
	auto_fd int set = -1;

	if (abi < 0)
		return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
	/* Only the first member: sizeof the struct depends on the headers' age. */
	set = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs), 0U);
	if (set < 0 || syscall(SYS_landlock_add_rule, set, LANDLOCK_RULE_PATH_BENEATH, &rule, 0U) < 0 ||
	    syscall(SYS_landlock_restrict_self, set, 0U) < 0)
		return -errno;
	return 1;
}
