/* SPDX-License-Identifier: Apache-2.0
 *
 * log: see log.h. One write(2) per line, so that lines of several processes on one file do not mix.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
	const char *prog;
	const char *id;
	enum log_level max;
} conf = { .prog = "sbx", .max = LOG_LEVEL_INFO };

void log_setup(const char *prog, const char *id, enum log_level max)
{
	conf.prog = prog;
	conf.id = id;
	conf.max = max;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	static const char *const names[] = {
		[LOG_LEVEL_ERROR] = "error",
		[LOG_LEVEL_WARN] = "warn",
		[LOG_LEVEL_INFO] = "info",
		[LOG_LEVEL_DEBUG] = "debug",
	};
	char line[1024], text[800];
	struct timespec now;
	struct tm tm;
	va_list ap;
	int n;

	if (level > conf.max)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (!gmtime_r(&now.tv_sec, &tm))
		memset(&tm, 0, sizeof(tm));
	n = snprintf(line, sizeof(line), "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s %s%s%s %s\n", tm.tm_year + 1900,
		     tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec / 1000000, names[level],
		     conf.prog, conf.id ? " id=" : "", conf.id ? conf.id : "", text);
	if (n > 0)
		(void)!write(STDERR_FILENO, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}
