/* SPDX-License-Identifier: Apache-2.0
 *
 * cpus: see cpus.h.
 */
#include "guest/cpus.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"
#include "guest/console.h"

#define CPUS_MAX 1024

void cpus_online(void)
{
	char path[80], now;

	/* cpu0 has no such file: it cannot be taken off. */
	for (int i = 1; i < CPUS_MAX; i++) {
		auto_fd int fd = -1;

		(void)str_format(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", i);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			return;
		if (pread(fd, &now, 1, 0) == 1 && now == '0' && pwrite(fd, "1", 1, 0) < 0)
			console_line("processor %d: %s", i, strerror(errno));
	}
}

void cpus_one(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	(void)sched_setaffinity(0, sizeof(one), &one);
}

void cpus_all(void)
{
	cpu_set_t all;

	memset(&all, 0xff, sizeof(all)); /* the kernel leaves out those that are not there */
	(void)sched_setaffinity(0, sizeof(all), &all);
}
