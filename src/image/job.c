/* SPDX-License-Identifier: Apache-2.0
 *
 * job: see job.h.
 */
#include "image/job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

bool job_has(const struct job *j, const char *name)
{
	struct stat st;

	return fstatat(j->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && st.st_size > 0;
}

int job_begin(const struct job *j, const char *name)
{
	char part[64];
	int fd, r = str_format(part, sizeof(part), "%s.part", name);

	if (r < 0)
		return r;
	(void)unlinkat(j->fd, part, 0);
	fd = openat(j->fd, part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

int job_finish(const struct job *j, const char *name, int fd, struct err *err)
{
	char part[64];

	if (str_format(part, sizeof(part), "%s.part", name) < 0)
		return err_set(err, ERR_INTERNAL, ENAMETOOLONG, "%s is too long a name", name);
	if (fsync(fd) < 0 || renameat(j->fd, part, j->fd, name) < 0 || fsync(j->fd) < 0)
		return err_errno(err, errno, "cannot write %s/%s", j->dir, name);
	return 0;
}
