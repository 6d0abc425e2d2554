/* SPDX-License-Identifier: Apache-2.0
 *
 * discard: a library that the loader puts before libc in QEMU's process (LD_PRELOAD in its jail), so that a woken machine
 * gives back the memory that its guest no longer uses.
 *
 * For each run of pages that the guest reports as free (virtio-balloon), QEMU 7.2 first punches a hole into the memory's
 * file, then drops its own pages, and gives up after the first where that fails. The memory of a woken machine is a
 * private view of a file that is sealed against writing, where a hole is refused, and would be wrong: others see the
 * file. Here such a hole is said to be made, and nothing is done. QEMU's own pages go all the same; what the guest reads
 * there afterwards is what the frozen machine had, which is as good as anything in a page that is free (the kernel must not
 * count on zeros there: init_on_free=0 in qemuargs.c).
 *
 * Every other call, and every other file, is the kernel's business as ever.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static int may_be_written(int fd)
{
	int saved = errno, seals = fcntl(fd, F_GET_SEALS);

	errno = saved;
	return seals < 0 || !(seals & F_SEAL_WRITE);
}

static int call(int fd, int mode, off_t offset, off_t len)
{
	if ((mode & FALLOC_FL_PUNCH_HOLE) && !may_be_written(fd))
		return 0;
	return (int)syscall(SYS_fallocate, fd, mode, offset, len);
}

/* Built with large files, as QEMU is: the name that both have then is fallocate64. */
int fallocate(int fd, int mode, off_t offset, off_t len)
{
	return call(fd, mode, offset, len);
}
