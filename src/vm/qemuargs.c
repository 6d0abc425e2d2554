/* SPDX-License-Identifier: Apache-2.0
 *
 * qemuargs: see qemuargs.h. The same command line for both accelerators but for the accelerator's name and the
 * processor's.
 */
#include "vm/qemuargs.h"

#include <unistd.h>

#include "base/env.h"
#include "base/hostprog.h"
#include "base/own.h"

#define FIRMWARE "/usr/share/qemu"
#define TCG_MODULE "/usr/lib/x86_64-linux-gnu/qemu/accel-tcg-x86_64.so"

const char *const qemuargs_files[] = {
	HOSTPROG_QEMU,
	TCG_MODULE,
	FIRMWARE "/bios-microvm.bin",
	FIRMWARE "/qboot.rom",
	FIRMWARE "/linuxboot_dma.bin",
	FIRMWARE "/pvh.bin",
	"/usr/share/seabios/bios-microvm.bin",
	NULL,
};

/* What makes a woken machine give memory back, see discard.c. */
static void show_discard(struct jail *j)
{
	auto_free char *path = env_data(QEMU_DISCARD);

	if (!path) {
		j->full = true;
		return;
	}
	jail_arg(j, "--ro-bind");
	jail_arg(j, "%s", path);
	jail_arg(j, "/" QEMU_DISCARD);
	jail_arg(j, "--setenv");
	jail_arg(j, "LD_PRELOAD");
	jail_arg(j, "/" QEMU_DISCARD);
}

static bool boots(enum qemu_mode mode)
{
	return mode == QEMU_COLD || mode == QEMU_FREEZE;
}

void qemuargs_show(struct jail *j, const struct shape *s, enum qemu_mode mode, const int *number)
{
	jail_show(j, FIRMWARE);
	jail_show(j, "/usr/share/seabios"); /* where links in it lead */
	if (s->kvm) {
		jail_arg(j, "--dev-bind");
		jail_arg(j, "/dev/kvm");
		jail_arg(j, "/dev/kvm");
	}
	jail_arg(j, "--ro-bind");
	jail_arg(j, "/proc/self/fd"); /* bwrap becomes QEMU */
	jail_arg(j, QEMU_FD_DIR);
	if (mode == QEMU_THAW)
		show_discard(j);
	if (!boots(mode))
		return;
	jail_arg(j, "--ro-bind");
	jail_arg(j, "%s", s->kernel);
	jail_arg(j, "/kernel");
	jail_arg(j, "--ro-bind-data");
	jail_arg(j, "%d", number[QEMU_IN_INITRD]);
	jail_arg(j, "/initrd");
}

void qemuargs_layer(struct jail *j, const char *path, size_t i)
{
	jail_arg(j, "--ro-bind");
	jail_arg(j, "%s", path);
	jail_arg(j, "/layer/%zu", i);
}

static void memory_args(struct jail *j, const struct shape *s, enum qemu_mode mode, const int *number)
{
	jail_arg(j, "-m");
	jail_arg(j, "%lluM", (unsigned long long)s->memory_mib);
	jail_arg(j, "-object");
	jail_arg(j, "memory-backend-file,id=ram,size=%lluM,mem-path=" QEMU_FD_DIR "/%d,share=%s", (unsigned long long)s->memory_mib,
		 number[QEMU_IN_MEMORY], mode == QEMU_THAW ? "off" : "on");
}

static void machine_args(struct jail *j, const struct shape *s, enum qemu_mode mode, const int *number)
{
	jail_arg(j, "-M");
	jail_arg(j,
		 "microvm,accel=%s,acpi=on,pic=off,pit=off,rtc=on,isa-serial=on,auto-kernel-cmdline=off,"
		 "memory-backend=ram%s",
		 s->kvm ? "kvm" : "tcg", mode == QEMU_RESUME ? ",suppress-vmdesc=on" : "");
	/* Emulation runs "rep movsb" and "rep stosb" a byte at a time. A processor that does not call them fast gets everything,
	 * the guest's kernel first, to copy and clear by words: measured 2.6 times faster page faults, 30 times faster pipes. */
	jail_arg(j, "-cpu");
	jail_arg(j, "%s", s->kvm ? "max" : "max,erms=off");
	jail_arg(j, "-smp");
	jail_arg(j, "%u", s->cpus);
	memory_args(j, s, mode, number);
	if (mode == QEMU_RESUME) {
		jail_arg(j, "-S");
		jail_arg(j, "-global");
		jail_arg(j, "migration.send-configuration=off");
	}
	if (!boots(mode)) {
		jail_arg(j, "-incoming");
		jail_arg(j, "defer");
		return;
	}
	jail_arg(j, "-kernel");
	jail_arg(j, "/kernel");
	jail_arg(j, "-initrd");
	jail_arg(j, "/initrd");
	jail_arg(j, "-append");
	/* init_on_free: discard.c. lsm: no others have a policy here, yet their hooks are in every path. */
	jail_arg(j, "console=ttyS0 quiet loglevel=4 panic=-1 reboot=t init_on_free=0 lsm=landlock,yama tsc=reliable tsc_early_khz=%llu",
		 (unsigned long long)s->tsc_khz);
}

static void socket_dev(struct jail *j, const char *id, int number, const char *more)
{
	jail_arg(j, "-chardev");
	if (number < 0)
		jail_arg(j, "null,id=%s", id);
	else
		jail_arg(j, "socket,id=%s,fd=%d%s", id, number, more);
}

static void one_disk(struct jail *j, unsigned target)
{
	/* QEMU's own way with a full disk of the host is to stop the machine until somebody looks: the guest is told instead. */
	jail_arg(j, "-device");
	jail_arg(j, "scsi-hd,id=scsi%u,drive=disk%u,bus=scsi.0,scsi-id=%u,werror=report,rerror=report", target, target, target);
}

/* A guest that is woken takes the disk of the frozen one, which is empty and has never been read since it was opened, for
 * the sandbox's: both are of one size. No locking by QEMU: the lock that counts is ours (qemu.c), and its probe wants a
 * /dev/null. */
static void disk_args(struct jail *j, const struct shape *s, enum qemu_mode mode)
{
	jail_arg(j, "-blockdev");
	if (mode == QEMU_FREEZE)
		jail_arg(j, "null-co,node-name=disk%u,size=%llu,read-zeroes=on", QEMU_DISK_TARGET, (unsigned long long)s->disk_bytes);
	else
		jail_arg(j,
			 "raw,node-name=disk%u,discard=unmap,detect-zeroes=unmap,file.driver=file,file.filename=" QEMU_DISK_FILE
			 ",file.locking=off,file.discard=unmap",
			 QEMU_DISK_TARGET);
	one_disk(j, QEMU_DISK_TARGET);
	jail_arg(j, "-blockdev");
	jail_arg(j, "raw,node-name=disk%u,read-only=on,file.driver=file,file.filename=/layer/0,file.locking=off", QEMU_LAYER_TARGET(0));
	one_disk(j, QEMU_LAYER_TARGET(0));
}

static void device_args(struct jail *j, const struct shape *s, enum qemu_mode mode, const int *number)
{
	static const char *const fixed[] = {
		"-device", "virtio-balloon-device,free-page-reporting=on",
		"-device", "virtio-scsi-device,id=scsi",
		"-device", "virtio-rng-device",
		"-device", "virtio-serial-device,max_ports=4",
		"-device", ("virtserialport,chardev=" QEMU_CTL_CHARDEV ",name=sbx.ctl,nr=1"),
		"-device", "virtserialport,chardev=fs,name=sbx.fs,nr=2",
		"-device", ("virtserialport,chardev=net,name=sbx.net,nr=3,id=" QEMU_NET_PORT),
		"-serial", "chardev:console",
		"-mon",    "chardev=qmp,mode=control",
	};

	socket_dev(j, "qmp", number[QEMU_IN_QMP], "");
	socket_dev(j, "console", number[QEMU_IN_CONSOLE], "");
	socket_dev(j, QEMU_CTL_CHARDEV, number[QEMU_IN_CTL], ",server=on,wait=off");
	socket_dev(j, "fs", number[QEMU_IN_FS], "");
	socket_dev(j, "net", number[QEMU_IN_NET], ",server=on,wait=off");
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		jail_arg(j, "%s", fixed[i]);
	if (number[QEMU_IN_DISK] >= 0) {
		jail_arg(j, "-add-fd");
		jail_arg(j, "fd=%d,set=1", number[QEMU_IN_DISK]);
	}
	disk_args(j, s, mode);
}

void qemuargs_add(struct jail *j, const struct shape *s, enum qemu_mode mode, const int *number)
{
	static const char *const fixed[] = {
		"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-global", "virtio-mmio.force-legacy=false",
	};

	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		jail_arg(j, "%s", fixed[i]);
	machine_args(j, s, mode, number);
	device_args(j, s, mode, number);
}
