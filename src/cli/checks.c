/* SPDX-License-Identifier: Apache-2.0
 *
 * checks: see checks.h. Starts one short program (bubblewrap, to see whether namespaces are permitted); changes
 * nothing but making our directories.
 */
#include "cli/checks.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "base/spawn.h"
#include "base/str.h"

#define JAIL_TRY_MS 10000
#define CPUINFO_MAX (8U << 20)
#define LOW_BYTES (5ULL << 30)
#define GIB (1024.0 * 1024.0 * 1024.0)

static const struct {
	const char *program, *package;
} needed[] = {
	{ "qemu-system-x86_64", "qemu-system-x86" }, { "bwrap", "bubblewrap" },
	{ "mmdebstrap", "mmdebstrap" },              { "tar2sqfs", "squashfs-tools-ng" },
	{ "mkfs.ext4", "e2fsprogs" },
};

/* Where a program is by PATH, and in the places of administration that a user's PATH may lack; owned. */
static char *locate(const char *program)
{
	const char *path = env_get("PATH");
	auto_free char *all = str_new("%s:/usr/sbin:/sbin:/usr/bin:/bin", path ? path : "");
	char *rest = all, *dir;

	while (all && (dir = strsep(&rest, ":"))) {
		char *file = dir[0] == '/' ? str_new("%s/%s", dir, program) : NULL;

		if (file && access(file, X_OK) == 0)
			return file;
		free(file);
	}
	return NULL;
}

static void check_ours(struct report *r)
{
	static const char *const ours[] = { "sandboxd", "sbx-vm", "sbx-fs", "sbx-proxy", "sbx-keeper", "sbx-keyring", "sbx-image" };
	auto_free char *init = env_data("initramfs.cpio");
	bool complete = true;

	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		auto_free char *path = env_program(ours[i]);

		if (path && access(path, X_OK) == 0)
			continue;
		report_add(r, REPORT_FAIL, ours[i], "%s is missing: install sbx anew", path ? path : ours[i]);
		complete = false;
	}
	if (!init || access(init, R_OK) < 0)
		report_add(r, REPORT_FAIL, "initramfs", "%s is missing: install sbx anew", init ? init : "initramfs.cpio");
	else if (complete)
		report_add(r, REPORT_PASS, "sbx", "v%s in %s", SBX_VERSION, env_bindir());
}

void checks_installation(struct report *r)
{
	r->group = "Installation";
	check_ours(r);
	for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
		auto_free char *path = locate(needed[i].program);

		if (path) {
			report_add(r, REPORT_PASS, needed[i].program, "%s", path);
			continue;
		}
		report_add(r, REPORT_FAIL, needed[i].program, "is not installed (Debian package %s)", needed[i].package);
		report_try(r, "sudo apt-get install %s", needed[i].package);
	}
}

static bool sysctl_is(const char *path, const char *value)
{
	auto_free char *text = NULL;

	return io_read_file(AT_FDCWD, path, 64, &text, NULL) == 0 && strncmp(text, value, strlen(value)) == 0;
}

/* The jails need a user namespace (not for root), so one is made. */
static void check_namespaces(struct report *r)
{
	static const char *const argv[] = { "bwrap", "--unshare-all", "--ro-bind", "/", "/", "true", NULL };
	auto_free char *bwrap = locate("bwrap");
	struct spawn s = { .path = bwrap, .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1 };
	struct err err = { 0 };

	if (!bwrap)
		return;
	if (spawn_run(&s, JAIL_TRY_MS, 4096, NULL, &err) == 0) {
		report_add(r, REPORT_PASS, "namespaces", "bubblewrap can make a jail for %s",
			   geteuid() == 0 ? "root" : "this user");
		return;
	}
	report_add(r, REPORT_FAIL, "namespaces", "bubblewrap cannot make a jail: %s", err.msg);
	if (sysctl_is("/proc/sys/kernel/unprivileged_userns_clone", "0"))
		report_try(r, "sudo sysctl kernel.unprivileged_userns_clone=1");
	else if (sysctl_is("/proc/sys/user/max_user_namespaces", "0"))
		report_try(r, "sudo sysctl user.max_user_namespaces=10000");
	else if (sysctl_is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"))
		report_try(r, "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for bwrap "
			      "that permits userns");
	else
		report_try(r, "run it on a host, or in a container, that permits unprivileged user namespaces");
}

static bool processor_can(void)
{
	auto_free char *text = NULL;

	return io_read_file(AT_FDCWD, "/proc/cpuinfo", CPUINFO_MAX, &text, NULL) == 0 &&
	       (strstr(text, " vmx") || strstr(text, " svm"));
}

static void check_kvm(struct report *r)
{
	auto_fd int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int e = errno;
	const char *why = "the processor shows neither vmx nor svm";

	if (fd >= 0 && processor_can()) {
		report_add(r, REPORT_PASS, "virtualization", "/dev/kvm opens; whether a guest runs on it shows at the first start");
		return;
	}
	if (fd < 0)
		why = e == ENOENT ? "there is no /dev/kvm" : "/dev/kvm cannot be opened";
	report_add(r, REPORT_WARN, "virtualization", "software emulation is used (slower, same isolation): %s", why);
	if (fd < 0 && e == EACCES)
		report_try(r, "sudo usermod -aG kvm \"$USER\", then log in anew");
}

void checks_platform(struct report *r, bool accelerator)
{
	struct utsname u;

	r->group = "Platform";
	if (uname(&u) == 0)
		report_add(r, str_eq(u.machine, "x86_64") ? REPORT_PASS : REPORT_FAIL, "system", "%s %s %s%s", u.sysname,
			   u.release, u.machine, str_eq(u.machine, "x86_64") ? "" : ": only x86_64 is supported");
	if (accelerator)
		check_kvm(r);
	check_namespaces(r);
}

static void check_dir(struct report *r, const char *what, const char *dir)
{
	struct err err = { 0 };
	struct statvfs v;
	unsigned long long free_bytes;

	if (env_ensure(dir, &err) < 0) {
		report_add(r, REPORT_FAIL, what, "%s", err.msg);
		return;
	}
	if (statvfs(dir, &v) < 0) {
		report_add(r, REPORT_FAIL, what, "cannot look at %s: %s", dir, strerror(errno));
		return;
	}
	free_bytes = (unsigned long long)v.f_bavail * v.f_frsize;
	if (free_bytes < LOW_BYTES && (str_eq(what, "state") || str_eq(what, "cache"))) {
		report_add(r, REPORT_WARN, what, "%s has only %.1f GiB free", dir, (double)free_bytes / GIB);
		report_try(r, "make room, or set XDG_%s_HOME to a larger disk", str_eq(what, "state") ? "STATE" : "CACHE");
		return;
	}
	report_add(r, REPORT_PASS, what, "%s (%.1f GiB free)", dir, (double)free_bytes / GIB);
}

void checks_storage(struct report *r, const struct env_dirs *dirs)
{
	r->group = "Storage";
	check_dir(r, "state", dirs->state);
	check_dir(r, "cache", dirs->cache);
	check_dir(r, "config", dirs->config);
	check_dir(r, "runtime", dirs->runtime);
}
