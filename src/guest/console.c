/* SPDX-License-Identifier: Apache-2.0
 *
 * console: see console.h. The descriptor is opened once and kept, so that it outlives the switch of the root. One
 * write per line. It does not log to a file: the guest's disk belongs to the user.
 */
#include "guest/console.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static int console_fd = -1;

void console_open(void)
{
	int fd;

	/* Whatever a library opens next must not become descriptor 0, 1 or 2. */
	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		(void)close(fd);
	console_fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
}

void console_line(const char *fmt, ...)
{
	char text[600], line[640];
	va_list ap;
	int n;

	if (console_fd < 0)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	n = snprintf(line, sizeof(line), "sbx-guest: %s\n", text);
	if (n > 0)
		(void)!write(console_fd, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}
