/* SPDX-License-Identifier: Apache-2.0
 *
 * ownpages: see ownpages.h. A line of /proc/PID/maps is "FROM-TO PERMS OFFSET MAJOR:MINOR INODE NAME" (proc_pid_maps(5)).
 */
#include "vm/ownpages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"

#define MAPS_MAX (4 << 20)

/* How far the file is mapped so far: its first `bytes` stand at `at`. */
struct found {
	uint64_t at, bytes;
};

/* The kernel joins and splits mappings as it likes: pieces count that follow each other in both. */
static void look_at(const char *line, const struct stat *st, struct found *f)
{
	unsigned long long from, to, offset, inode;
	unsigned major_no, minor_no;

	/* The kernel wrote it, and nothing is taken but numbers. */
	if (sscanf(line, "%llx-%llx %*s %llx %x:%x %llu", &from, &to, &offset, &major_no, &minor_no, &inode) != 6)
		return;
	if (inode != st->st_ino || makedev(major_no, minor_no) != st->st_dev)
		return;
	if (offset == 0 && f->bytes == 0)
		*f = (struct found){ from, to - from };
	else if (offset == f->bytes && from == f->at + f->bytes)
		f->bytes += to - from;
}

static int find(int proc, const struct stat *st, uint64_t bytes, uint64_t *ret)
{
	auto_free char *text = NULL;
	struct found f = { 0 };
	char *rest, *line;
	int r = io_read_file(proc, "maps", MAPS_MAX, &text, NULL);

	if (r < 0)
		return r;
	rest = text;
	while ((line = strsep(&rest, "\n")))
		look_at(line, st, &f);
	if (f.bytes < bytes)
		return -ENXIO;
	*ret = f.at;
	return 0;
}

int ownpages_open(pid_t pid, int fd, uint64_t bytes, struct ownpages *ret, struct err *err)
{
	struct ownpages o = { -1, -1, 0 };
	auto_fd int proc = -1;
	char path[32];
	struct stat st;
	int r;

	(void)str_format(path, sizeof(path), "/proc/%d", (int)pid);
	proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	r = proc < 0 || fstat(fd, &st) < 0 ? -errno : find(proc, &st, bytes, &o.at);
	if (r == 0) {
		o.pagemap = openat(proc, "pagemap", O_RDONLY | O_CLOEXEC);
		o.mem = openat(proc, "mem", O_RDONLY | O_CLOEXEC);
		r = o.pagemap < 0 || o.mem < 0 ? -errno : 0;
	}
	if (r < 0) {
		ownpages_done(&o);
		return err_errno(err, -r, "cannot read the memory of the machine (%s)", path);
	}
	*ret = o;
	return 0;
}

void ownpages_done(struct ownpages *o)
{
	own_close_p(&o->pagemap);
	own_close_p(&o->mem);
}
