/* SPDX-License-Identifier: Apache-2.0
 *
 * copywork: see copywork.h.
 */
#include "daemon/copywork.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/own.h"
#include "base/str.h"

struct work {
	uv_work_t uv;
	struct copywork_want want; /* owned descriptors */
	copywork_done *done;
	void *user;
	struct clone clone;
	struct err err;
};

static void free_work(struct work *w)
{
	own_close_p(&w->want.memory);
	own_close_p(&w->want.disk);
	own_close_p(&w->want.to_memory);
	own_close_p(&w->want.to_disk);
	free(w);
}

/* The manifest last: without it the others are nothing. */
static int link_memory(struct work *w)
{
	static const char *const names[] = { "memory", "state", "files", "manifest" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (linkat(w->want.memory, names[i], w->want.to_memory, names[i], 0) < 0 && !(errno == ENOENT && str_eq(names[i], "files")))
			return err_errno(&w->err, errno, "cannot take the saved %s over", names[i]);
	return 0;
}

static int copy_disk(struct work *w)
{
	auto_fd int from = openat(w->want.disk, "disk.img", O_RDONLY | O_CLOEXEC | O_NOFOLLOW),
		    to = openat(w->want.to_disk, "disk.img", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r = from < 0 || to < 0 ? -errno : clone_file(from, to, &w->clone);

	if (r == 0 && fsync(to) < 0)
		r = -errno;
	return r < 0 ? err_errno(&w->err, -r, "cannot copy the disk") : 0;
}

static void run(uv_work_t *uv)
{
	struct work *w = uv->data;
	int r = w->want.disk >= 0 ? copy_disk(w) : 0;

	if (r == 0 && w->want.memory >= 0)
		(void)link_memory(w);
}

static void finished(uv_work_t *uv, int status)
{
	struct work *w = uv->data;

	w->done(w->user, &w->clone, w->err.kind ? &w->err : NULL);
	free_work(w);
}

static int dup_or_none(int fd)
{
	return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

int copywork_start(uv_loop_t *loop, const struct copywork_want *want, copywork_done *done, void *user, struct err *err)
{
	struct work *w = calloc(1, sizeof(*w));

	if (!w)
		return err_errno(err, ENOMEM, "the copy");
	*w = (struct work){ .done = done, .user = user };
	w->uv.data = w;
	w->want = (struct copywork_want){ dup_or_none(want->memory), dup_or_none(want->disk), dup_or_none(want->to_memory),
					  dup_or_none(want->to_disk) };
	if (uv_queue_work(loop, &w->uv, run, finished) == 0)
		return 0;
	free_work(w);
	return err_errno(err, ENOMEM, "the copy");
}
