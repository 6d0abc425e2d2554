/* SPDX-License-Identifier: Apache-2.0
 *
 * root: see root.h. The layers and the disk are mounted in the initramfs, outside of the tree that processes see; two
 * O_PATH descriptors (initramfs root, new root) are kept for the way back.
 *
 * What is on the disk was written by whoever worked in the sandbox: paths below the new root are used only after the
 * switch, so that a symlink leads nowhere else.
 */
#include "guest/root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "guest/console.h"
#include "guest/disks.h"
#include "guest/steps.h"
#include "guest/tune.h"

#define LAYERS "/sbx/layers"
#define DISK "/sbx/disk"
#define ROOT "/sbx/root"
#define STAGE_OF "sbx/stage" /* seen from the initramfs */
#define STAGE "/" STAGE_OF
#define MARK "sbx/disk/files-written" /* seen from the initramfs */
/* Tables of inodes that are not in use yet are holes of the disk's file: filling them with zeros in the background would only
 * allocate them. */
#define DISK_OPTIONS "discard,noinit_itable"
#define CHECK_TIMEOUT_MS 20000

static int initramfs_fd = -1, root_fd = -1;
static bool disk_mounted;
static char own_disk[DISKS_PATH_MAX]; /* the device */

static int mount_at(const char *source, const char *target, const char *type, unsigned long flags, const char *data,
		    struct err *err)
{
	if (mount(source, target, type, flags, data) < 0)
		return err_errno(err, errno, "cannot mount %s (%s) at %s", source, type, target);
	return 0;
}

static int make_dir(const char *path, mode_t mode, struct err *err)
{
	int r = io_mkdirs(path, mode);

	return r < 0 ? err_errno(err, -r, "cannot make the directory %s", path) : 0;
}

static int mount_layer(unsigned target, size_t i, uint64_t deadline_ms, struct err *err)
{
	char dev[DISKS_PATH_MAX], at[64];
	int r;

	(void)str_format(at, sizeof(at), LAYERS "/%zu", i);
	if ((r = disks_wait(target, deadline_ms, dev, err)) < 0 || (r = make_dir(at, 0755, err)) < 0)
		return r;
	return mount_at(dev, at, "squashfs", MS_RDONLY, NULL, err);
}

/* In a child: a login shell of the base, which is what `sbx run shell` starts, and the programs that it starts: their pages
 * stay in memory. */
static void warm_child(void) __attribute__((noreturn));
static void warm_child(void)
{
	const char *const argv[] = { "bash", "-l", "-c", "/bin/true", NULL };
	const char *const envp[] = { "HOME=/home/agent", "PATH=/usr/bin:/bin", "LANG=C.UTF-8", NULL };

	if (chroot(LAYERS "/0") == 0 && chdir("/") == 0)
		(void)execve("/bin/bash", (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)envp);
	_exit(127);
}

static void read_file(const char *path)
{
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	char chunk[16384];

	while (fd >= 0 && read(fd, chunk, sizeof(chunk)) > 0)
		;
}

/* An image may have none of these. Before the loop begins: nobody else waits for children. */
static void warm(void)
{
	static const char *const files[] = { "/etc/passwd", "/etc/group", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt",
					     "/usr/bin/bash", "/usr/bin/dash", "/usr/lib/x86_64-linux-gnu/libc.so.6" };
	char path[128];
	pid_t pid = fork();

	if (pid == 0)
		warm_child();
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (str_format(path, sizeof(path), LAYERS "/0%s", files[i]) == 0)
			read_file(path);
}

/* --- the kernel's file systems, before there is a place for them --- */

static const struct {
	const char *source, *at, *type;
	unsigned long flags;
	const char *data;
	bool optional;
} staged[] = {
	{ "proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, false },
	{ "sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, false },
	{ "devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755", false },
	{ "devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666", false },
	{ "tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777", false },
	{ "mqueue", "/dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, true },
	{ "tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=20%", false },
	{ "cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, "nsdelegate,memory_recursiveprot", true },
};

static void link_dev(void)
{
	static const struct {
		const char *name, *target;
	} links[] = { { "fd", "/proc/self/fd" },
		      { "stdin", "/proc/self/fd/0" },
		      { "stdout", "/proc/self/fd/1" },
		      { "stderr", "/proc/self/fd/2" } };
	char path[64];

	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		if (str_format(path, sizeof(path), STAGE "/dev/%s", links[i].name) == 0)
			(void)!symlink(links[i].target, path);
}

static int stage(struct err *err)
{
	char at[64];
	int r;

	for (size_t i = 0; i < ARRAY_LEN(staged); i++) {
		(void)str_format(at, sizeof(at), STAGE "%s", staged[i].at);
		(void)io_mkdirs(at, 0755); /* where it cannot be made, the mount says so */
		r = mount_at(staged[i].source, at, staged[i].type, staged[i].flags, staged[i].data, err);
		if (r < 0 && !staged[i].optional)
			return r;
	}
	link_dev();
	if ((r = make_dir(STAGE "/run/lock", 01777, err)) < 0 || (r = make_dir(STAGE "/run/sbx", 0700, err)) < 0)
		return r;
	(void)chmod(STAGE "/run/lock", 01777);
	return make_dir(STAGE "/run/user", 0755, err);
}

int root_prepare(uint64_t deadline_ms, struct err *err)
{
	int r;

	if ((r = make_dir(ROOT, 0755, err)) < 0 || (r = make_dir(DISK, 0755, err)) < 0 ||
	    (r = mount_layer(ROOT_BASE_TARGET, 0, deadline_ms, err)) < 0 ||
	    (r = disks_wait(ROOT_DISK_TARGET, deadline_ms, own_disk, err)) < 0 || (r = stage(err)) < 0)
		return r;
	tune_system(STAGE "/sys/fs/cgroup");
	warm();
	return 0;
}

static int mount_layers(const unsigned *layers, size_t n, uint64_t deadline_ms, struct err *err)
{
	int r = 0;

	if (layers[0] != ROOT_BASE_TARGET)
		return err_set(err, ERR_INVALID, EINVAL, "the lowest layer is not at SCSI target %u", ROOT_BASE_TARGET);
	for (size_t i = 1; r == 0 && i < n; i++)
		r = mount_layer(layers[i], i, deadline_ms, err);
	return r;
}

/* In a child: the image's own e2fsck on dev, from the lowest layer; its wait status goes to fd. */
static void check_child(const char *dev, int fd) __attribute__((noreturn));
static void check_child(const char *dev, int fd)
{
	const char *const argv[] = { "e2fsck", "-p", dev, NULL }, *const envp[] = { NULL };
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		if (mount("devtmpfs", LAYERS "/0/dev", "devtmpfs", 0, NULL) == 0 && chroot(LAYERS "/0") == 0 &&
		    chdir("/") == 0)
			(void)execve("/sbin/e2fsck", (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)envp);
		_exit(127);
	}
	if (pid > 0)
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	(void)!write(fd, &status, sizeof(status));
	_exit(0);
}

/* The child in between keeps the status away from the loop's reaper. */
static int check_disk(const char *dev, struct err *err)
{
	auto_fd int rd = -1, wr = -1;
	struct pollfd p;
	int fds[2], status = -1;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_errno(err, errno, "cannot check the sandbox's disk");
	rd = fds[0];
	wr = fds[1];
	pid = fork();
	if (pid == 0)
		check_child(dev, wr);
	own_close_p(&wr);
	p = (struct pollfd){ .fd = rd, .events = POLLIN };
	if (pid < 0 || poll(&p, 1, CHECK_TIMEOUT_MS) <= 0 || read(rd, &status, sizeof(status)) != sizeof(status))
		return err_set(err, ERR_UNAVAILABLE, EIO, "the check of the sandbox's disk did not end");
	(void)umount2(LAYERS "/0/dev", MNT_DETACH);
	/* e2fsck(8): 1 errors corrected, 2 reboot wanted (it is not mounted: as good as 1). */
	if (status == -1 || !WIFEXITED(status) || WEXITSTATUS(status) > 3)
		return err_set(err, ERR_UNAVAILABLE, EUCLEAN,
			       "the sandbox's disk is damaged and e2fsck -p could not repair it");
	return 0;
}

/* A woken machine has another disk behind the device than the frozen one had. The kernel forgets what it has read of a
 * device at the last close, and nothing has it open; this makes sure. */
static void forget_blocks(const char *dev)
{
	auto_fd int fd = open(dev, O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)ioctl(fd, BLKFLSBUF, 0);
}

static int mount_disk(unsigned target, struct err *err)
{
	const char *dev = own_disk;
	int r;

	if (target != ROOT_DISK_TARGET)
		return err_set(err, ERR_INVALID, EINVAL, "the disk is not at SCSI target %u", ROOT_DISK_TARGET);
	forget_blocks(dev);
	r = mount_at(dev, DISK, "ext4", MS_NOATIME, DISK_OPTIONS, err);
	if (r < 0) {
		console_line("%s; checking it", err->msg);
		r = check_disk(dev, err);
		if (r == 0)
			r = mount_at(dev, DISK, "ext4", MS_NOATIME, DISK_OPTIONS, err);
	}
	if (r < 0)
		return r;
	disk_mounted = true;
	if ((r = make_dir(DISK "/overlay/upper", 0755, err)) < 0)
		return r;
	return make_dir(DISK "/overlay/work", 0755, err);
}

static int mount_overlay(size_t nlayers, struct err *err)
{
	struct buf options;
	const char *text;
	int r;

	buf_init(&options, 4000); /* the kernel takes a page */
	r = buf_append_str(&options, "lowerdir=");
	for (size_t i = nlayers; r == 0 && i-- > 0;)
		r = buf_printf(&options, LAYERS "/%zu%s", i, i ? ":" : "");
	if (r == 0)
		r = buf_append_str(&options, ",upperdir=" DISK "/overlay/upper,workdir=" DISK "/overlay/work");
	text = r == 0 ? buf_cstr(&options) : NULL;
	r = text ? mount_at("sandbox", ROOT, "overlay", 0, text, err) : err_errno(err, ENOMEM, "overlay");
	buf_done(&options);
	return r;
}

int root_mount(const unsigned *layers, size_t nlayers, unsigned disk, uint64_t deadline_ms, struct err *err)
{
	int r;

	r = mount_layers(layers, nlayers, deadline_ms, err);
	if (r < 0)
		return r;
	steps_end_of("layers");
	r = mount_disk(disk, err);
	if (r < 0)
		return r;
	steps_end_of("disk");
	r = mount_overlay(nlayers, err);
	steps_end_of("overlay");
	return r;
}

int root_switch(struct err *err)
{
	initramfs_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	root_fd = open(ROOT, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (initramfs_fd < 0 || root_fd < 0)
		return err_errno(err, errno, "cannot open the new root");
	/* The move makes it the root of the mount namespace too: without it "unshare" would see a chroot and refuse. */
	if (fchdir(root_fd) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return err_errno(err, errno, "cannot switch to the new root");
	return 0;
}

static int make_runtime_dir(const struct user *agent, struct err *err)
{
	char path[64];
	int r;

	(void)str_format(path, sizeof(path), "/run/user/%u", agent->uid);
	r = make_dir(path, 0700, err);
	if (r < 0)
		return r;
	if (chown(path, agent->uid, agent->gid) < 0)
		return err_errno(err, errno, "cannot give %s to %s", path, agent->name);
	return 0;
}

int root_move(const char *from, const char *at, mode_t mode, struct err *err)
{
	int r = move_mount(initramfs_fd, from, AT_FDCWD, at, 0) < 0 ? -errno : 0;

	if (r == -ENOENT && (r = io_mkdirs(at, mode)) == 0)
		r = move_mount(initramfs_fd, from, AT_FDCWD, at, 0) < 0 ? -errno : 0;
	return r < 0 ? err_errno(err, -r, "cannot mount %s in the sandbox", at) : 0;
}

/* As it should be already: to change it is to copy it up. */
static int make_tmp(void)
{
	struct stat st;

	if (stat("/tmp", &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 07777) == 01777)
		return 0;
	return (mkdir("/tmp", 01777) < 0 && errno != EEXIST) || chmod("/tmp", 01777) < 0 ? -errno : 0;
}

int root_populate(const struct user *agent, struct err *err)
{
	static const struct {
		const char *at;
		mode_t mode; /* of the mount point where it is missing */
	} trees[] = { { "/proc", 0555 }, { "/sys", 0555 }, { "/dev", 0755 }, { "/run", 0755 } };
	char from[32];
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(trees); i++) {
		(void)str_format(from, sizeof(from), STAGE_OF "%s", trees[i].at);
		r = root_move(from, trees[i].at, trees[i].mode, err);
	}
	if (r < 0)
		return r;
	r = make_tmp();
	return r < 0 ? err_errno(err, -r, "cannot make /tmp in the sandbox") : make_runtime_dir(agent, err);
}

int root_lend(const char *at, struct err *err)
{
	auto_fd int fd = open(at, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0755);
	char init[64];

	(void)str_format(init, sizeof(init), "/proc/self/fd/%d/init", initramfs_fd);
	if (fd < 0 || mount(init, at, NULL, MS_BIND, NULL) < 0)
		return err_errno(err, errno, "cannot make %s", at);
	return 0;
}

bool root_is_marked(void)
{
	return faccessat(initramfs_fd, MARK, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void root_mark(void)
{
	auto_fd int fd = openat(initramfs_fd, MARK, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		console_line("the disk cannot be marked: %s", strerror(errno));
}

void root_share(void)
{
	(void)mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL);
}

/* The last resort: the kernel remounts every file system read-only. */
static void emergency_remount(void)
{
	auto_fd int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)!write(fd, "u", 1);
}

int root_teardown(void)
{
	char self[64];

	sync();
	if (root_fd >= 0) {
		(void)str_format(self, sizeof(self), "/proc/self/fd/%d", root_fd);
		if (fchdir(initramfs_fd) < 0 || chroot(".") < 0)
			return -errno;
		(void)umount2(self, MNT_DETACH);
		own_close_p(&root_fd);
	}
	if (!disk_mounted || umount2(DISK, 0) == 0)
		return 0;
	if (mount(NULL, DISK, NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0)
		return 0;
	emergency_remount();
	sync();
	return -EBUSY;
}
