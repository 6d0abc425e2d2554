/* SPDX-License-Identifier: Apache-2.0
 *
 * accelerator: see accelerator.h. Reads /dev/kvm, /proc/cpuinfo and the note that a supervisor leaves in the cache when
 * a guest did not run on KVM.
 */
#include "daemon/accelerator.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"

static bool processor_can(void)
{
	auto_free char *text = NULL;
	char *flags, *end;

	if (io_read_file(AT_FDCWD, "/proc/cpuinfo", 4 << 20, &text, NULL) < 0)
		return false;
	flags = strstr(text, "\nflags");
	end = flags ? strchr(flags + 1, '\n') : NULL;
	if (!end)
		return false;
	*end = 0;
	return strstr(flags, " vmx") || strstr(flags, " svm");
}

static bool failed_before(const char *cache_dir)
{
	auto_free char *path = str_new("%s/kvm-failed", cache_dir), *boot = NULL, *seen = NULL;

	return path && io_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &boot, NULL) == 0 &&
	       io_read_file(AT_FDCWD, path, 64, &seen, NULL) == 0 && str_eq(boot, seen);
}

/* NULL: KVM may be tried. */
static const char *why_not(const char *cache_dir)
{
	auto_fd int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? "this host has no /dev/kvm"
				       : "/dev/kvm cannot be opened: is the user in the group kvm?";
	if (!processor_can())
		return "/dev/kvm is there, but the processor shows neither vmx nor svm";
	return failed_before(cache_dir) ? "a guest did not start on /dev/kvm since the host's last boot" : NULL;
}

json_t *accelerator_json(const char *setting, const char *cache_dir)
{
	const char *reason = "the setting sandbox.accelerator says so", *no;
	const char *expected = setting;

	if (str_eq(setting, "auto")) {
		no = why_not(cache_dir);
		expected = no ? "tcg" : "kvm";
		reason = no ? no : "/dev/kvm opens and the processor can";
	}
	return json_pack("{s:s, s:s, s:s}", "setting", setting, "expected", expected, "reason", reason);
}
