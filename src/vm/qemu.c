/* SPDX-License-Identifier: Apache-2.0
 *
 * qemu: see qemu.h.
 */
#include "vm/qemu.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/hostprog.h"
#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "vm/jail.h"
#include "vm/netsock.h"

/* How long a start waits for an earlier machine to let go of the disk. */
#define DISK_WAIT_S 10
#define INITRD_MAX_BYTES (256LL * 1024 * 1024)

void qemu_init(struct qemu *q)
{
	*q = (struct qemu){ .pidfd = -1, .inner_pidfd = -1, .qmp_fd = -1, .ctl_path = -1, .memory = -1, .fs_fd = -1, .console_fd = -1,
			    .stderr_fd = -1, .net_path = -1, .err_in = -1 };
	for (size_t i = 0; i < ARRAY_LEN(q->in); i++)
		q->in[i] = -1;
}

/* The kernel unpacks concatenated cpio archives, so the initramfs of the build and the modules of the template
 * become one file in memory. */
static int join_initrds(const struct shape *s, int *ret, struct err *err)
{
	auto_fd int out = memfd_create("initrd", MFD_CLOEXEC);

	if (out < 0)
		return err_errno(err, errno, "cannot make a file in memory");
	for (size_t i = 0; i < s->ninitrds; i++) {
		auto_fd int in = open(s->initrds[i], O_RDONLY | O_CLOEXEC);
		struct stat st;
		off_t at = 0;

		if (in < 0 || fstat(in, &st) < 0)
			return err_errno(err, errno, "cannot read %s", s->initrds[i]);
		if (st.st_size > INITRD_MAX_BYTES)
			return err_set(err, ERR_INVALID, EFBIG, "%s is too large for an initramfs", s->initrds[i]);
		while (at < st.st_size)
			if (sendfile(out, in, &at, (size_t)(st.st_size - at)) <= 0)
				return err_errno(err, errno, "cannot copy %s", s->initrds[i]);
	}
	if (lseek(out, 0, SEEK_SET) < 0)
		return err_errno(err, errno, "cannot rewind the initramfs");
	*ret = TAKE_FD(out);
	return 0;
}

static void on_alarm(int sig)
{
}

/* The lock belongs to the open file that QEMU inherits, so it lasts as long as any QEMU has the disk: a start that
 * follows a crash waits here for the old one's end. */
static int lock_disk(int fd, const char *path, struct err *err)
{
	struct sigaction act = { .sa_handler = on_alarm }, old;
	struct itimerval on = { .it_value = { .tv_sec = DISK_WAIT_S } }, off = { 0 };
	int r;

	(void)sigaction(SIGALRM, &act, &old);
	(void)setitimer(ITIMER_REAL, &on, NULL);
	r = flock(fd, LOCK_EX) < 0 ? -errno : 0;
	(void)setitimer(ITIMER_REAL, &off, NULL);
	(void)sigaction(SIGALRM, &old, NULL);
	if (r == -EINTR)
		return err_set(err, ERR_CONFLICT, EBUSY, "the disk %s is still in use by another machine", path);
	return r < 0 ? err_errno(err, -r, "cannot lock the disk %s", path) : 0;
}

static int open_disks(struct qemu *q, const struct spec *spec, struct err *err)
{
	int *disk = &q->in[QEMU_IN_DISK];

	*disk = open(spec->disk, O_RDWR | O_CLOEXEC);
	if (*disk < 0)
		return err_errno(err, errno, "cannot open the sandbox's disk %s", spec->disk);
	for (size_t i = 0; i < spec->nlayers; i++)
		if (access(spec->layers[i], R_OK) < 0)
			return err_errno(err, errno, "cannot open the template layer %s", spec->layers[i]);
	return lock_disk(*disk, spec->disk, err);
}

static int pair(struct qemu *q, enum qemu_in which, int *ret_host, struct err *err)
{
	int fds[2], r = io_socketpair(fds);

	if (r < 0)
		return err_errno(err, -r, "cannot make a socket pair");
	*ret_host = fds[0];
	q->in[which] = fds[1];
	return 0;
}

int qemu_open(struct qemu *q, struct err *err)
{
	int fds[2], r = hostprog_qemu(err);

	if (r == 0)
		r = pair(q, QEMU_IN_QMP, &q->qmp_fd, err);
	if (r == 0)
		r = pair(q, QEMU_IN_CONSOLE, &q->console_fd, err);
	if (r < 0)
		return r;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_errno(err, errno, "cannot make a pipe");
	q->stderr_fd = fds[0];
	q->err_in = fds[1];
	return 0;
}

int qemu_open_sandbox(struct qemu *q, const struct spec *spec, struct err *err)
{
	int r = netsock_make(spec->state_dir, &q->in[QEMU_IN_CTL], &q->ctl_path, err);

	if (r == 0)
		r = pair(q, QEMU_IN_FS, &q->fs_fd, err);
	if (r == 0)
		r = netsock_make(spec->state_dir, &q->in[QEMU_IN_NET], &q->net_path, err);
	return r < 0 ? r : open_disks(q, spec, err);
}

/* Descriptors that are there, one after the other as the child gets them from 3 on. */
static size_t line_up(const struct qemu *q, int fds[QEMU_IN_COUNT], int number[QEMU_IN_COUNT])
{
	size_t n = 0;

	for (size_t i = 0; i < QEMU_IN_COUNT; i++) {
		number[i] = q->in[i] < 0 ? -1 : 3 + (int)n;
		if (q->in[i] >= 0)
			fds[n++] = q->in[i];
	}
	return n;
}

static int number_of(const struct qemu *q, enum qemu_in which)
{
	int fds[QEMU_IN_COUNT], number[QEMU_IN_COUNT];

	(void)line_up(q, fds, number);
	return number[which];
}

static int start(struct qemu *q, struct jail *j, const struct shape *shape, const struct spec *spec, enum qemu_mode mode,
		 struct err *err)
{
	int fds[QEMU_IN_COUNT], number[QEMU_IN_COUNT];
	size_t n = line_up(q, fds, number);
	int r = jail_init(j, HOSTPROG_QEMU, 0, err);

	if (r < 0)
		return r;
	qemuargs_show(j, shape, mode, number);
	if (!spec)
		qemuargs_layer(j, shape->base, 0);
	for (size_t i = 0; spec && i < spec->nlayers; i++)
		qemuargs_layer(j, spec->layers[i], i);
	jail_run(j, n);
	qemuargs_add(j, shape, mode, number);
	return jail_start(j, fds, n, q->err_in, &q->pidfd, err);
}

static void close_in(struct qemu *q)
{
	for (size_t i = 0; i < ARRAY_LEN(q->in); i++)
		own_close_p(&q->in[i]);
	own_close_p(&q->err_in);
}

/* A file, so that the machine can be paused. */
static int make_memory(struct qemu *q, uint64_t bytes, struct err *err)
{
	auto_fd int fd = memfd_create("sbx-memory", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0)
		return err_errno(err, errno, "cannot make the machine's memory");
	q->in[QEMU_IN_MEMORY] = TAKE_FD(fd);
	return 0;
}

int qemu_connect_ctl(const struct qemu *q)
{
	return netsock_connect(q->ctl_path);
}

int qemu_launch(struct qemu *q, const struct shape *shape, const struct spec *spec, enum qemu_mode mode, int *ret_state,
		struct err *err)
{
	struct jail *j = calloc(1, sizeof(*j));
	int r = j ? 0 : err_errno(err, ENOMEM, "cannot start the machine");

	if (r == 0 && (mode == QEMU_COLD || mode == QEMU_FREEZE))
		r = join_initrds(shape, &q->in[QEMU_IN_INITRD], err);
	if (r == 0 && mode == QEMU_COLD)
		r = make_memory(q, shape->memory_mib << 20, err);
	if (r == 0) {
		own_close_p(&q->memory);
		q->memory = fcntl(q->in[QEMU_IN_MEMORY], F_DUPFD_CLOEXEC, 3);
		q->shares = mode == QEMU_THAW;
	}
	if (r == 0)
		r = start(q, j, shape, spec, mode, err);
	if (r == 0 && ret_state)
		*ret_state = number_of(q, QEMU_IN_STATE);
	if (r == 0) {
		q->pid = jail_pid(j, 5000); /* negative: bwrap failed; its words are on stderr_fd */
		if (q->pid > 0)
			q->inner_pidfd = (int)syscall(SYS_pidfd_open, q->pid, 0U);
	}
	if (j)
		jail_done(j);
	free(j);
	close_in(q);
	return r;
}

void qemu_done(struct qemu *q)
{
	own_close_p(&q->pidfd);
	own_close_p(&q->inner_pidfd);
	own_close_p(&q->qmp_fd);
	own_close_p(&q->ctl_path);
	own_close_p(&q->memory);
	own_close_p(&q->fs_fd);
	own_close_p(&q->console_fd);
	own_close_p(&q->stderr_fd);
	own_close_p(&q->net_path);
	close_in(q);
}
