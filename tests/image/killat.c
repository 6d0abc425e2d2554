/* SPDX-License-Identifier: Apache-2.0
 *
 * killat: preloaded into sbx-image (tests/image), ends it by SIGKILL just before the n-th call that moves, links, removes
 * or flushes something, where n is in the variable SBX_KILL_AT. Other programs, which inherit it, are left alone; without
 * the variable so is sbx-image. Each call is counted, so that a test that goes through n = 1, 2, ... meets every state
 * that a build can leave on disk.
 */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Links nothing of ours: what it defines would stand before what the program itself has. */
static unsigned number(const char *digits)
{
	unsigned n = 0;

	for (; *digits >= '0' && *digits <= '9'; digits++)
		n = n * 10 + (unsigned)(*digits - '0');
	return n;
}

static void count(void)
{
	static unsigned seen;
	const char *at = getenv("SBX_KILL_AT");

	if (at && strcmp(program_invocation_short_name, "sbx-image") == 0 && ++seen == number(at))
		(void)kill(getpid(), SIGKILL);
}

/* The call of that name in the C library. */
#define NEXT(name, ...) ((int (*)(__VA_ARGS__))(uintptr_t)dlsym(RTLD_NEXT, name))

int fsync(int fd)
{
	count();
	return NEXT("fsync", int)(fd);
}

int renameat(int from, const char *a, int to, const char *b)
{
	count();
	return NEXT("renameat", int, const char *, int, const char *)(from, a, to, b);
}

int linkat(int from, const char *a, int to, const char *b, int flags)
{
	count();
	return NEXT("linkat", int, const char *, int, const char *, int)(from, a, to, b, flags);
}

int unlinkat(int fd, const char *name, int flags)
{
	count();
	return NEXT("unlinkat", int, const char *, int)(fd, name, flags);
}
