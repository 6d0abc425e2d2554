/* SPDX-License-Identifier: Apache-2.0
 *
 * accel: see accel.h.
 */
#include "vm/accel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"

static bool processor_can(void)
{
	auto_free char *text = NULL;
	char *flags, *end;

	if (io_read_file(AT_FDCWD, "/proc/cpuinfo", 4 * 1024 * 1024, &text, NULL) < 0)
		return false;
	flags = strstr(text, "\nflags");
	end = flags ? strchr(flags + 1, '\n') : NULL;
	if (!end)
		return false;
	*end = 0;
	return strstr(flags, " vmx") || strstr(flags, " svm");
}

static char *boot_id(void)
{
	char *id = NULL;

	return io_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &id, NULL) < 0 ? NULL : id;
}

static bool failed_before(const char *cache_dir)
{
	auto_free char *id = boot_id(), *path = str_new("%s/kvm-failed", cache_dir), *seen = NULL;

	return id && path && io_read_file(AT_FDCWD, path, 64, &seen, NULL) == 0 && str_eq(id, seen);
}

void accel_remember_failure(const char *cache_dir)
{
	auto_free char *id = boot_id();
	auto_fd int dir = open(cache_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (id && dir >= 0)
		(void)io_write_file_atomic(dir, "kvm-failed", id, strlen(id), 0600);
}

static void say(struct accel *a, bool kvm, const char *reason)
{
	a->kvm = kvm;
	(void)str_format(a->reason, sizeof(a->reason), "%s", reason);
}

void accel_decide(enum spec_accel wanted, const char *cache_dir, struct accel *ret)
{
	auto_fd int fd = -1;

	*ret = (struct accel){ 0 };
	if (wanted == SPEC_ACCEL_TCG) {
		say(ret, false, "software emulation, as the setting sandbox.accelerator says");
		return;
	}
	fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (wanted == SPEC_ACCEL_KVM) {
		say(ret, true, "KVM, as the setting sandbox.accelerator says");
		return;
	}
	if (fd < 0 && errno == ENOENT)
		say(ret, false, "software emulation: this host has no /dev/kvm");
	else if (fd < 0)
		say(ret, false, "software emulation: /dev/kvm cannot be opened (is the user in the group kvm?)");
	else if (!processor_can())
		say(ret, false, "software emulation: /dev/kvm is there, but the processor shows neither vmx nor svm");
	else if (failed_before(cache_dir))
		say(ret, false, "software emulation: a guest did not start on /dev/kvm since the host's last boot");
	else {
		say(ret, true, "KVM");
		ret->fallback = true;
	}
}
