/* SPDX-License-Identifier: Apache-2.0
 *
 * qemu: see qemu.h. The same command line for both accelerators but for the accelerator's name.
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
#include "vm/tsc.h"

#define QEMU_MODULES "/usr/lib/x86_64-linux-gnu/qemu"
/* How long a start waits for an earlier machine to let go of the disk. */
#define DISK_WAIT_S 10
#define INITRD_MAX_BYTES (256LL * 1024 * 1024)

/* Descriptors in the jail, in this order from 3 on; the disks follow. */
enum { FD_QMP, FD_CTL, FD_FS, FD_CONSOLE, FD_NET, FD_INITRD, FD_DISKS };
#define MAX_FDS (FD_DISKS + 1 + SPEC_MAX_LAYERS)

/* What is gathered before the start; all owned. */
struct parts {
	int inside[MAX_FDS]; /* descriptors that go to QEMU */
	size_t n;
	int host[FD_NET]; /* our ends of the first ones */
	int net_path;
	int err_rd, err_wr;
};

static void parts_done(struct parts *p)
{
	for (size_t i = 0; i < MAX_FDS; i++)
		own_close_p(&p->inside[i]);
	for (size_t i = 0; i < FD_NET; i++)
		own_close_p(&p->host[i]);
	own_close_p(&p->net_path);
	own_close_p(&p->err_rd);
	own_close_p(&p->err_wr);
}

/* The kernel unpacks concatenated cpio archives, so the initramfs of the build and the modules of the template
 * become one file in memory. */
static int join_initrds(const struct spec *spec, int *ret, struct err *err)
{
	auto_fd int out = memfd_create("initrd", MFD_CLOEXEC);

	if (out < 0)
		return err_errno(err, errno, "cannot make a file in memory");
	for (size_t i = 0; i < spec->ninitrds; i++) {
		auto_fd int in = open(spec->initrds[i], O_RDONLY | O_CLOEXEC);
		struct stat st;
		off_t at = 0;

		if (in < 0 || fstat(in, &st) < 0)
			return err_errno(err, errno, "cannot read %s", spec->initrds[i]);
		if (st.st_size > INITRD_MAX_BYTES)
			return err_set(err, ERR_INVALID, EFBIG, "%s is too large for an initramfs", spec->initrds[i]);
		while (at < st.st_size)
			if (sendfile(out, in, &at, (size_t)(st.st_size - at)) <= 0)
				return err_errno(err, errno, "cannot copy %s", spec->initrds[i]);
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

static int open_disks(const struct spec *spec, struct parts *p, struct err *err)
{
	p->inside[FD_DISKS] = open(spec->disk, O_RDWR | O_CLOEXEC);
	if (p->inside[FD_DISKS] < 0)
		return err_errno(err, errno, "cannot open the sandbox's disk %s", spec->disk);
	if (lock_disk(p->inside[FD_DISKS], spec->disk, err) < 0)
		return err_code(err);
	for (size_t i = 0; i < spec->nlayers; i++) {
		p->inside[FD_DISKS + 1 + i] = open(spec->layers[i], O_RDONLY | O_CLOEXEC);
		if (p->inside[FD_DISKS + 1 + i] < 0)
			return err_errno(err, errno, "cannot open the template layer %s", spec->layers[i]);
	}
	p->n = FD_DISKS + 1 + spec->nlayers;
	return 0;
}

static int gather(const struct spec *spec, struct parts *p, struct err *err)
{
	int pair[2], r;

	for (size_t i = 0; i < FD_NET; i++) {
		r = io_socketpair(pair);
		if (r < 0)
			return err_errno(err, -r, "cannot make a socket pair");
		p->host[i] = pair[0];
		p->inside[i] = pair[1];
	}
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_errno(err, errno, "cannot make a pipe");
	p->err_rd = pair[0];
	p->err_wr = pair[1];
	r = netsock_make(spec->state_dir, &p->inside[FD_NET], &p->net_path, err);
	if (r == 0)
		r = join_initrds(spec, &p->inside[FD_INITRD], err);
	return r < 0 ? r : open_disks(spec, p, err);
}

static void socket_dev(struct jail *j, const char *id, int slot)
{
	jail_arg(j, "-chardev");
	jail_arg(j, "socket,id=%s,fd=%d", id, 3 + slot);
}

static void machine_args(struct jail *j, const struct spec *spec, bool kvm)
{
	jail_arg(j, "-M");
	jail_arg(j,
		 "microvm,accel=%s,acpi=on,pic=off,pit=off,rtc=on,isa-serial=on,auto-kernel-cmdline=off,"
		 "memory-backend=ram",
		 kvm ? "kvm" : "tcg");
	/* Emulation runs "rep movsb" and "rep stosb" a byte at a time. A processor that does not call them fast gets everything,
	 * the guest's kernel first, to copy and clear by words: measured 2.6 times faster page faults, 30 times faster pipes. */
	jail_arg(j, "-cpu");
	jail_arg(j, "%s", kvm ? "max" : "max,erms=off");
	jail_arg(j, "-smp");
	jail_arg(j, "%u", spec->cpus);
	jail_arg(j, "-m");
	jail_arg(j, "%lluM", (unsigned long long)spec->memory_mib);
	jail_arg(j, "-object");
	jail_arg(j, "memory-backend-ram,id=ram,size=%lluM", (unsigned long long)spec->memory_mib);
	jail_arg(j, "-kernel");
	jail_arg(j, "/kernel");
	jail_arg(j, "-initrd");
	jail_arg(j, "/initrd");
	jail_arg(j, "-append");
	jail_arg(j, "console=ttyS0 quiet loglevel=4 panic=-1 reboot=t tsc=reliable tsc_early_khz=%llu",
		 (unsigned long long)tsc_khz(spec->cache_dir));
}

static void device_args(struct jail *j, const struct spec *spec)
{
	static const char *const fixed[] = {
		"-device", "virtio-scsi-device,id=scsi",
		"-device", "virtio-rng-device",
		"-device", "virtio-balloon-device,free-page-reporting=on",
		"-device", "virtio-serial-device,max_ports=4",
		"-device", "virtserialport,chardev=ctl,name=sbx.ctl,nr=1",
		"-device", "virtserialport,chardev=fs,name=sbx.fs,nr=2",
		"-device", ("virtserialport,chardev=net,name=sbx.net,nr=3,id=" QEMU_NET_PORT),
		"-serial", "chardev:console",
		"-mon",    "chardev=qmp,mode=control",
	};

	socket_dev(j, "qmp", FD_QMP);
	socket_dev(j, "ctl", FD_CTL);
	socket_dev(j, "fs", FD_FS);
	socket_dev(j, "console", FD_CONSOLE);
	jail_arg(j, "-chardev");
	jail_arg(j, "socket,id=net,fd=%d,server=on,wait=off", 3 + FD_NET);
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		jail_arg(j, "%s", fixed[i]);
	for (size_t i = 0; i <= spec->nlayers; i++) {
		jail_arg(j, "-add-fd");
		jail_arg(j, "fd=%zu,set=%zu", 3 + FD_DISKS + i, i + 1);
	}
}

static int describe(struct jail *j, const struct spec *spec, bool kvm, size_t nfds, struct err *err)
{
	static const char *const fixed[] = {
		"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-global", "virtio-mmio.force-legacy=false",
	};
	int r = jail_init(j, HOSTPROG_QEMU, 0, err);

	if (r == 0 && access(QEMU_MODULES "/accel-tcg-x86_64.so", R_OK) == 0)
		r = jail_show_libs(j, QEMU_MODULES "/accel-tcg-x86_64.so", err);
	if (r < 0)
		return r;
	jail_show(j, QEMU_MODULES "/accel-tcg-x86_64.so");
	jail_show(j, "/usr/share/qemu/bios-microvm.bin");
	jail_show(j, "/usr/share/qemu/qboot.rom");
	jail_show(j, "/usr/share/qemu/linuxboot_dma.bin");
	jail_show(j, "/usr/share/qemu/pvh.bin");
	jail_show(j, "/usr/share/seabios/bios-microvm.bin");
	if (kvm) {
		jail_arg(j, "--dev-bind");
		jail_arg(j, "/dev/kvm");
		jail_arg(j, "/dev/kvm");
	}
	jail_arg(j, "--ro-bind");
	jail_arg(j, "%s", spec->kernel);
	jail_arg(j, "/kernel");
	jail_arg(j, "--ro-bind-data");
	jail_arg(j, "%d", 3 + FD_INITRD);
	jail_arg(j, "/initrd");
	jail_run(j, nfds);
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		jail_arg(j, "%s", fixed[i]);
	machine_args(j, spec, kvm);
	device_args(j, spec);
	return 0;
}

int qemu_start(const struct spec *spec, bool kvm, struct qemu *ret, struct err *err)
{
	struct qemu q = { .pidfd = -1, .inner_pidfd = -1, .qmp_fd = -1, .ctl_fd = -1, .fs_fd = -1, .console_fd = -1,
			  .stderr_fd = -1, .net_path = -1 };
	struct parts p;
	struct jail *j = calloc(1, sizeof(*j));
	int r;

	memset(&p, 0xff, sizeof(p)); /* every descriptor -1 */
	p.n = 0;
	if (!j)
		return err_errno(err, ENOMEM, "cannot start the machine");
	r = hostprog_qemu(err);
	if (r == 0)
		r = gather(spec, &p, err);
	if (r == 0)
		r = describe(j, spec, kvm, p.n, err);
	if (r == 0)
		r = jail_start(j, p.inside, p.n, p.err_wr, &q.pidfd, err);
	if (r == 0) {
		q.pid = jail_pid(j, 5000); /* negative: bwrap failed; its words are on stderr_fd */
		if (q.pid > 0)
			q.inner_pidfd = (int)syscall(SYS_pidfd_open, q.pid, 0U);
		q.qmp_fd = TAKE_FD(p.host[FD_QMP]);
		q.ctl_fd = TAKE_FD(p.host[FD_CTL]);
		q.fs_fd = TAKE_FD(p.host[FD_FS]);
		q.console_fd = TAKE_FD(p.host[FD_CONSOLE]);
		q.stderr_fd = TAKE_FD(p.err_rd);
		q.net_path = TAKE_FD(p.net_path);
		*ret = q;
	}
	parts_done(&p);
	jail_done(j);
	free(j);
	return r;
}

void qemu_done(struct qemu *q)
{
	own_close_p(&q->pidfd);
	own_close_p(&q->inner_pidfd);
	own_close_p(&q->qmp_fd);
	own_close_p(&q->ctl_fd);
	own_close_p(&q->fs_fd);
	own_close_p(&q->console_fd);
	own_close_p(&q->stderr_fd);
	own_close_p(&q->net_path);
}
