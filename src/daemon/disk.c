/* SPDX-License-Identifier: Apache-2.0
 *
 * disk: see disk.h. mke2fs runs on the file that was made here a moment ago, never on one that a guest wrote.
 */
#include "daemon/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/env.h"
#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/spawn.h"
#include "base/str.h"

#define FORMAT_TIMEOUT_MS 30000
#define LEAST_FREE_BYTES (UINT64_C(64) << 20)
#define ID_LEN 36
#define SPARE "disk-1.img" /* another number for other ways to format */
#define SPARE_NEW "new.img"
#define SPARE_NICE 10

int disk_open(struct disk_home *h, const char *state_dir, struct err *err)
{
	int r;

	h->fd = h->spare = -1;
	if (str_format(h->path, sizeof(h->path), "%s/sandboxes", state_dir) < 0 ||
	    str_format(h->spare_path, sizeof(h->spare_path), "%s/spare", state_dir) < 0)
		return err_set(err, ERR_INVALID, ENAMETOOLONG, "the state directory's path is too long");
	r = env_ensure(h->path, err);
	if (r == 0)
		r = env_ensure(h->spare_path, err);
	if (r < 0)
		return r;
	h->spare = open(h->spare_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (h->spare < 0)
		return err_errno(err, errno, "cannot open %.300s", h->spare_path);
	h->fd = open(h->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return h->fd < 0 ? err_errno(err, errno, "cannot open %.300s", h->path) : 0;
}

void disk_close(struct disk_home *h)
{
	own_close_p(&h->fd);
	own_close_p(&h->spare);
}

/* id and ending as a directory's name. */
struct dirname {
	char s[ID_LEN + 8];
};

static struct dirname dirname_of(const char *id, const char *ending)
{
	struct dirname d;

	(void)str_format(d.s, sizeof(d.s), "%.36s%s", id, ending);
	return d;
}

static const char *mke2fs_path(void)
{
	/* Not in an ordinary user's PATH on Debian. */
	static const char *const places[] = { "/sbin/mke2fs", "/usr/sbin/mke2fs" };

	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (access(places[i], X_OK) == 0)
			return places[i];
	return "mke2fs";
}

#define FORMAT_ARGS 10

/* SPARE goes with these. */
static struct spawn format_command(const char *argv[FORMAT_ARGS], const char *path)
{
	const char *program = mke2fs_path();
	const char *const all[FORMAT_ARGS] = {
		program, "-t", "ext4", "-q", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0",
		path, NULL
	};

	memcpy(argv, all, sizeof(all));
	return (struct spawn){
		.path = program,
		.argv = argv,
		.stdin_fd = -1,
		.stdout_fd = -1,
		.stderr_fd = -1,
		.die_with_parent = true,
	};
}

static int format(const char *path, struct err *err)
{
	const char *argv[FORMAT_ARGS];
	struct spawn s = format_command(argv, path);
	int r = spawn_run(&s, FORMAT_TIMEOUT_MS, 4096, NULL, err);

	if (r == -ENOENT)
		return err_set(err, ERR_UNAVAILABLE, ENOENT, "mke2fs is not installed: install the package e2fsprogs");
	return r < 0 ? err_wrap(err, "cannot format the new disk") : 0;
}

static int enough_space(int fd, const char *path, struct err *err)
{
	struct statvfs v;

	if (fstatvfs(fd, &v) < 0)
		return err_errno(err, errno, "cannot see how much space %.300s has", path);
	if ((uint64_t)v.f_bavail * v.f_frsize < LEAST_FREE_BYTES)
		return err_set(err, ERR_UNAVAILABLE, ENOSPC,
			       "the disk that holds %.300s is full (%llu MiB left): free some space", path,
			       (unsigned long long)((uint64_t)v.f_bavail * v.f_frsize >> 20));
	return 0;
}

int disk_ready(const struct disk_home *h, struct err *err)
{
	if (faccessat(h->fd, ".", W_OK, AT_EACCESS) < 0)
		return err_set(err, ERR_UNAVAILABLE, errno, "cannot write to %.300s: %s", h->path, strerror(errno));
	return enough_space(h->fd, h->path, err);
}

/* Nothing but zeroes; a descriptor, owned by the caller. */
static int make_sparse(int dir, const char *name, const char *path, uint64_t bytes, struct err *err)
{
	auto_fd int fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return err_errno(err, errno, "cannot make %.300s", path);
	if (ftruncate(fd, (off_t)bytes) < 0)
		return err_errno(err, errno, "cannot make a disk of %llu GiB at %.300s (setting sandbox.disk)",
				 (unsigned long long)(bytes >> 30), path);
	return TAKE_FD(fd);
}

static int make_image(const struct disk_home *h, int dir, const char *name, uint64_t bytes, struct err *err)
{
	auto_free char *path = str_new("%s/%s/disk.img", h->path, name);
	auto_fd int fd = path ? make_sparse(dir, "disk.img", path, bytes, err) : err_errno(err, ENOMEM, "the new disk");
	int r;

	if (fd < 0)
		return fd;
	r = format(path, err);
	if (r == 0 && fdatasync(fd) < 0)
		r = err_errno(err, errno, "cannot write %.300s", path);
	return r;
}

static bool has_spare(const struct disk_home *h, uint64_t bytes)
{
	struct stat st;

	return fstatat(h->spare, SPARE, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == bytes;
}

int disk_spare_begin(const struct disk_home *h, uint64_t bytes, int *ret_pidfd, struct err *err)
{
	auto_free char *path = str_new("%s/" SPARE_NEW, h->spare_path);
	const char *argv[FORMAT_ARGS];
	auto_fd int fd = -1;
	struct spawn s;
	pid_t pid;
	int r;

	if (has_spare(h, bytes))
		return 1;
	(void)unlinkat(h->spare, SPARE, 0);
	(void)unlinkat(h->spare, SPARE_NEW, 0);
	r = path ? enough_space(h->fd, h->path, err) : err_errno(err, ENOMEM, "the spare disk");
	if (r < 0)
		return r;
	fd = make_sparse(h->spare, SPARE_NEW, path, bytes, err);
	if (fd < 0)
		return fd;
	s = format_command(argv, path);
	r = spawn_start(&s, &pid, ret_pidfd, err);
	if (r == 0)
		(void)setpriority(PRIO_PROCESS, (id_t)pid, SPARE_NICE);
	return r;
}

bool disk_spare_end(const struct disk_home *h, bool formatted)
{
	auto_fd int fd = formatted ? openat(h->spare, SPARE_NEW, O_RDWR | O_CLOEXEC | O_NOFOLLOW) : -1;

	if (fd >= 0 && fdatasync(fd) == 0 && renameat(h->spare, SPARE_NEW, h->spare, SPARE) == 0)
		return true;
	(void)unlinkat(h->spare, SPARE_NEW, 0);
	return false;
}

int disk_make(const struct disk_home *h, const char *id, uint64_t bytes, struct err *err)
{
	struct dirname d = dirname_of(id, ".new");
	auto_fd int dir = -1;
	int r = enough_space(h->fd, h->path, err);

	if (r < 0)
		return r;
	if (mkdirat(h->fd, d.s, 0700) < 0)
		return err_errno(err, errno, "cannot make a directory in %.300s", h->path);
	dir = openat(h->fd, d.s, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		r = err_errno(err, errno, "cannot open %.300s/%s", h->path, d.s);
	else if (!has_spare(h, bytes) || renameat(h->spare, SPARE, dir, "disk.img") < 0)
		r = make_image(h, dir, d.s, bytes, err);
	if (r < 0)
		disk_abort(h, id);
	return r;
}

static int rename_to(const struct disk_home *h, const char *id, const char *from, const char *to)
{
	struct dirname a = dirname_of(id, from), b = dirname_of(id, to);

	if (renameat(h->fd, a.s, h->fd, b.s) < 0)
		return -errno;
	(void)fsync(h->fd);
	return 0;
}

int disk_commit(const struct disk_home *h, const char *id, struct err *err)
{
	int r = rename_to(h, id, ".new", "");

	return r < 0 ? err_errno(err, -r, "cannot put the new disk into %.300s", h->path) : 0;
}

void disk_abort(const struct disk_home *h, const char *id)
{
	(void)io_remove_tree(h->fd, dirname_of(id, ".new").s);
}

int disk_retire(const struct disk_home *h, const char *id, struct err *err)
{
	int r = rename_to(h, id, "", ".old");

	return r < 0 && r != -ENOENT ? err_errno(err, -r, "cannot remove %.300s/%s", h->path, id) : 0;
}

void disk_restore(const struct disk_home *h, const char *id)
{
	(void)rename_to(h, id, ".old", "");
}

int disk_hold(const struct disk_home *h, const char *id)
{
	auto_free char *path = str_new("%.36s.old/disk.img", id);

	return path ? openat(h->fd, path, O_PATH | O_CLOEXEC | O_NOFOLLOW) : -1;
}

int disk_remove(const struct disk_home *h, const char *id, struct err *err)
{
	struct dirname d = dirname_of(id, ".old");
	int r = io_remove_tree(h->fd, d.s);

	return r < 0 ? err_errno(err, -r, "cannot remove %.300s/%s", h->path, d.s) : 0;
}

/* One entry of STATE/sandboxes. */
static void sweep_entry(const struct disk_home *h, const char *name, bool known, bool is_new)
{
	char id[ID_LEN + 1];
	int r;

	(void)str_format(id, sizeof(id), "%.36s", name);
	/* .new with a record: the crash came after the commit. .old with a record: it came before the removal. */
	r = known ? rename_to(h, id, is_new ? ".new" : ".old", "") : io_remove_tree(h->fd, name);
	log_info("%s sandboxes/%s after a crash%s%s", known ? "recovered" : "removed", name, r < 0 ? ": " : "",
		 r < 0 ? strerror(-r) : "");
}

void disk_sweep(const struct disk_home *h, bool (*has_record)(void *user, const char *id), void *user)
{
	auto_dir DIR *d = NULL;
	struct dirent *e;
	int fd = openat(h->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	d = fdopendir(fd);
	if (!d) {
		(void)close(fd);
		return;
	}
	while ((e = readdir(d))) {
		bool is_new = str_ends(e->d_name, ".new"), is_old = str_ends(e->d_name, ".old");
		char id[ID_LEN + 1];

		if (strlen(e->d_name) != ID_LEN + 4 || (!is_new && !is_old))
			continue;
		(void)str_format(id, sizeof(id), "%.36s", e->d_name);
		sweep_entry(h, e->d_name, has_record(user, id), is_new);
	}
}
