/* SPDX-License-Identifier: Apache-2.0
 *
 * landlock: see landlock.h. libc has no wrappers for the calls. Rights that the running kernel does not know are left out of
 * the ruleset, as it would refuse them.
 */
#include "base/landlock.h"

#include <errno.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/stat.h>
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

/* Everything is handled and nothing allowed yet: a descriptor, -ENOSYS where there is no Landlock, -errno. */
static int ruleset(uint64_t *ret_known)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0UL, LANDLOCK_CREATE_RULESET_VERSION);
	struct landlock_ruleset_attr attr = { .handled_access_fs = known_rights(abi) };
	int fd;

	if (abi < 0)
		return errno == EOPNOTSUPP ? -ENOSYS : -errno;
	*ret_known = attr.handled_access_fs;
	/* Only the first member: sizeof the struct depends on the headers' age. */
	fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs), 0U);
	return fd < 0 ? -errno : fd;
}

static int allow(int set, int fd, uint64_t rights)
{
	struct landlock_path_beneath_attr rule = { .parent_fd = fd, .allowed_access = rights };

	return syscall(SYS_landlock_add_rule, set, LANDLOCK_RULE_PATH_BENEATH, &rule, 0U) < 0 ? -errno : 0;
}

int landlock_only_below(int dirfd)
{
	uint64_t known = 0;
	auto_fd int set = ruleset(&known);

	if (set < 0)
		return set == -ENOSYS ? 0 : set;
	if (allow(set, dirfd, BELOW & known) < 0 || syscall(SYS_landlock_restrict_self, set, 0U) < 0)
		return -errno;
	return 1;
}

int landlock_read_only(const int *fds, size_t n)
{
	uint64_t known = 0;
	auto_fd int set = ruleset(&known);
	struct stat st;

	if (set < 0)
		return set == -ENOSYS ? 0 : set;
	for (size_t i = 0; i < n; i++)
		if (fstat(fds[i], &st) < 0 ||
		    allow(set, fds[i], LANDLOCK_ACCESS_FS_READ_FILE | (S_ISDIR(st.st_mode) ? LANDLOCK_ACCESS_FS_READ_DIR : 0)) < 0)
			return -errno;
	return syscall(SYS_landlock_restrict_self, set, 0U) < 0 ? -errno : 1;
}
