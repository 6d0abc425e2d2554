/* SPDX-License-Identifier: Apache-2.0
 *
 * workspaces: see workspaces.h. Runs in the new root on the setup's thread: every access waits for the host, and the
 * setup's deadline ends it by relay_abort.
 */
#include "guest/workspaces.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "guest/paths.h"
#include "guest/ports.h"
#include "guest/relay.h"
#include "guest/root.h"

#define FS "/run/sbx/fs"
#define STAGED "sbx/files" /* seen from the initramfs */

static int fuse_fd = -1, port_fd = -1; /* owned between workspaces_prepare and the relay */

int workspaces_prepare(uint64_t deadline_ms, struct err *err)
{
	char options[160];

	port_fd = ports_open("sbx.fs", deadline_ms, err);
	if (port_fd < 0)
		return port_fd;
	fuse_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fuse_fd < 0)
		return err_errno(err, errno, "cannot open /dev/fuse");
	(void)str_format(options, sizeof(options),
			 "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", fuse_fd);
	if (io_mkdirs("/" STAGED, 0700) < 0 || mount("sbx", "/" STAGED, "fuse.sbx", MS_NOSUID | MS_NODEV, options) < 0)
		return err_errno(err, errno, "cannot mount the file door");
	return 0;
}

void workspaces_none(void)
{
	(void)umount2("/" STAGED, MNT_DETACH);
	own_close_p(&fuse_fd);
	own_close_p(&port_fd);
}

int workspaces_mount(uint64_t deadline_ms, struct err *err)
{
	int r = ports_wait_host(port_fd, deadline_ms);

	if (r < 0)
		return err_set(err, r == -ETIMEDOUT ? ERR_TIMEOUT : ERR_INTERNAL, -r,
			       "the host did not open the file door in time");
	r = root_move(STAGED, FS, 0700, err);
	return r < 0 ? r : relay_start(TAKE_FD(fuse_fd), TAKE_FD(port_fd), FS, err);
}

int workspaces_nonce(char *ret, size_t size, struct err *err)
{
	auto_free char *text = NULL;
	int r = io_read_file(AT_FDCWD, FS "/.nonce", 4096, &text, NULL);

	if (r < 0)
		return err_errno(err, -r, "cannot read the nonce through the file door");
	text[strcspn(text, "\n")] = 0;
	if (strspn(text, "0123456789abcdef") != strlen(text) || str_format(ret, size, "%s", text) < 0)
		return err_set(err, ERR_UNAVAILABLE, EPROTO, "the file door's nonce is not a hex number");
	return 0;
}

int workspaces_ino(const struct workspace *w, uint64_t *ret, struct err *err)
{
	char path[64];
	struct stat st;

	(void)str_format(path, sizeof(path), FS "/%u", w->index);
	if (stat(path, &st) < 0)
		return err_errno(err, errno, "cannot look at the workspace %s", w->path);
	*ret = st.st_ino;
	return 0;
}

static int bind_one(struct workspace *w, const struct user *agent, struct err *err)
{
	unsigned long flags = MS_NOSUID | MS_NODEV | (w->readonly ? MS_RDONLY : 0);
	char from[64];
	struct stat st;
	int r = paths_make_mount_point(w->path, w->file, agent, err);

	if (r < 0)
		return r;
	(void)str_format(from, sizeof(from), FS "/%u", w->index);
	if (mount(from, w->path, NULL, MS_BIND, NULL) < 0)
		return err_errno(err, errno, "cannot mount the workspace %s", w->path);
	if (mount(NULL, w->path, NULL, MS_BIND | MS_REMOUNT | flags, NULL) < 0)
		return err_errno(err, errno, "cannot set the mount flags of the workspace %s", w->path);
	if (stat(w->path, &st) < 0)
		return err_errno(err, errno, "cannot look at the workspace %s", w->path);
	w->ino = st.st_ino;
	return 0;
}

static int by_path(const void *a, const void *b)
{
	const struct workspace *const *x = a, *const *y = b;

	/* A directory sorts before everything in it. */
	return strcmp((*x)->path, (*y)->path);
}

int workspaces_bind(struct workspace *w, size_t n, const struct user *agent, struct err *err)
{
	auto_free struct workspace **order = calloc(n + 1, sizeof(struct workspace *));
	int r = 0;

	if (!order)
		return err_errno(err, ENOMEM, "workspaces");
	for (size_t i = 0; i < n; i++)
		order[i] = &w[i];
	qsort(order, n, sizeof(struct workspace *), by_path);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = bind_one(order[i], agent, err);
	return r;
}

void workspaces_sync(void)
{
	auto_fd int fd = open(FS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		(void)syncfs(fd);
}
