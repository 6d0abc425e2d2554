/* SPDX-License-Identifier: Apache-2.0
 *
 * tune: see tune.h.
 */
#include "guest/tune.h"

#include <fcntl.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"

static const struct {
	const char *path, *value;
} settings[] = {
	{ "/proc/sys/fs/inotify/max_user_watches", "524288" },
	{ "/proc/sys/fs/inotify/max_user_instances", "1024" },
	{ "/proc/sys/vm/max_map_count", "262144" },
	{ "/proc/sys/kernel/pid_max", "4194304" },
	{ "/proc/sys/net/ipv4/ping_group_range", "0 2147483647" },
};

static void put(const char *path, const char *value)
{
	auto_fd int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)io_write_all(fd, value, strlen(value));
}

void tune_limits(void)
{
	struct rlimit files = { .rlim_cur = 65536, .rlim_max = 1048576 };

	(void)setrlimit(RLIMIT_NOFILE, &files);
}

static void loopback_up(void)
{
	auto_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { .ifr_name = "lo" };

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
		return;
	ifr.ifr_flags = (short)(ifr.ifr_flags | IFF_UP);
	(void)ioctl(fd, SIOCSIFFLAGS, &ifr);
}

/* One controller at a time: one that cannot be delegated must not keep the others away. */
static void delegate_controllers(const char *cgroup)
{
	auto_free char *list = NULL, *from = str_new("%s/cgroup.controllers", cgroup), *to = str_new("%s/cgroup.subtree_control", cgroup);
	char word[64];

	if (!from || !to || io_read_file(AT_FDCWD, from, 4096, &list, NULL) < 0)
		return;
	for (const char *p = list; *p;) {
		size_t n = strcspn(p, " \n");

		if (n > 0 && n < sizeof(word) - 1 && str_format(word, sizeof(word), "+%.*s", (int)n, p) == 0)
			put(to, word);
		p += n;
		p += strspn(p, " \n");
	}
}

void tune_system(const char *cgroup)
{
	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		put(settings[i].path, settings[i].value);
	loopback_up();
	delegate_controllers(cgroup);
}
