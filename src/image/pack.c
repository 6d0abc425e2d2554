/* SPDX-License-Identifier: Apache-2.0
 *
 * pack: see pack.h. lz4 and blocks of 32 KiB: the guest's processor unpacks, often an emulated one. There zstd takes 4 times
 * as long to read large files, and blocks of 128 KiB 1.5 times as long for many small ones (docs/performance.md).
 */
#include "image/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>

#include "base/own.h"
#include "base/str.h"
#include "image/run.h"

int pack_layer(const struct job *j, struct err *err)
{
	auto_fd int tar = openat(j->fd, JOB_TAR, O_RDONLY | O_CLOEXEC), fd = -1;
	char jobs[16];
	const char *argv[] = { "tar2sqfs", "--quiet", "--force", "--no-skip", "--compressor", "lz4", "--block-size", "32768", "--num-jobs", jobs,
			       JOB_LAYER ".part", NULL };
	struct run run = { .argv = argv, .stdin_fd = tar, .stdout_fd = -1 };
	cpu_set_t cpus;
	int r;

	if (tar < 0)
		return err_errno(err, errno, "cannot read %s/" JOB_TAR, j->dir);
	(void)str_format(jobs, sizeof(jobs), "%d", sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? CPU_COUNT(&cpus) : 1);
	/* A former one, left by a run that was killed, is unlinked first: its writer may still be about to die. */
	fd = job_begin(j, JOB_LAYER);
	if (fd < 0)
		return err_errno(err, -fd, "cannot write %s/" JOB_LAYER, j->dir);
	own_close_p(&fd);
	r = run_tool(&run, j, err);
	if (r < 0)
		return r == -EINTR ? r : err_wrap(err, "cannot pack the image");
	fd = openat(j->fd, JOB_LAYER ".part", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_errno(err, errno, "cannot read %s/" JOB_LAYER, j->dir);
	return job_finish(j, JOB_LAYER, fd, err);
}
