/* SPDX-License-Identifier: Apache-2.0
 *
 * oom: see oom.h. The linker sends every allocation of the test program here (--wrap, tests/meson.build).
 */
#include "oom.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

static long left = -1; /* allocations that still succeed; -1: all of them */
static bool failed;

void oom_from(long n)
{
	left = n;
	failed = false;
}

bool oom_off(void)
{
	left = -1;
	return failed;
}

static bool fails(void)
{
	if (left < 0)
		return false;
	if (left > 0) {
		left--;
		return false;
	}
	failed = true;
	return true;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
int __real_vasprintf(char **ret, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
int __real___vasprintf_chk(char **ret, int flag, const char *fmt, va_list ap) __attribute__((format(printf, 3, 0)));

void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);
int __wrap_vasprintf(char **ret, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
int __wrap___vasprintf_chk(char **ret, int flag, const char *fmt, va_list ap) __attribute__((format(printf, 3, 0)));

void *__wrap_malloc(size_t n)
{
	return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t n)
{
	return fails() ? NULL : __real_calloc(count, n);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fails() ? NULL : __real_realloc(p, n);
}

char *__wrap_strdup(const char *s)
{
	return fails() ? NULL : __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t n)
{
	return fails() ? NULL : __real_strndup(s, n);
}

int __wrap_vasprintf(char **ret, const char *fmt, va_list ap)
{
	return fails() ? -1 : __real_vasprintf(ret, fmt, ap);
}

int __wrap___vasprintf_chk(char **ret, int flag, const char *fmt, va_list ap)
{
	return fails() ? -1 : __real___vasprintf_chk(ret, flag, fmt, ap);
}
