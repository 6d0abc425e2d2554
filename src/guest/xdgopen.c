/* SPDX-License-Identifier: Apache-2.0
 *
 * xdgopen: see xdgopen.h.
 */
#include "guest/xdgopen.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "guest/opens.h"

#define WAIT_MS 90000

enum { DONE = 0, USAGE = 1, NOBODY = 3, REFUSED = 4 };

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool xdgopen_is(const char *argv0)
{
	static const char *const names[] = { "xdg-open", "sensible-browser", "www-browser", "x-www-browser" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(base_of(argv0), names[i]))
			return true;
	return false;
}

/* Until the end, or what fits. */
static int receive(int fd, struct buf *reply)
{
	uint64_t end = io_now_ms() + WAIT_MS;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		uint64_t now = io_now_ms();
		char bytes[512];
		ssize_t n;

		if (now >= end || poll(&p, 1, (int)(end - now)) <= 0)
			return -ETIMEDOUT;
		n = recv(fd, bytes, sizeof(bytes), 0);
		if (n <= 0)
			return n < 0 ? -errno : 0;
		if (buf_append(reply, bytes, (size_t)n) < 0)
			return 0;
	}
}

static int ask(const char *url, struct buf *reply)
{
	auto_fd int dir = open(OPENS_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_fd int fd = dir < 0 ? -errno : io_unix_connect(dir, OPENS_SOCKET);

	if (fd < 0)
		return fd;
	/* One that was refused before all of it was read has an answer all the same. */
	if (send(fd, url, strlen(url), MSG_NOSIGNAL) >= 0)
		(void)send(fd, "\n", 1, MSG_NOSIGNAL);
	return receive(fd, reply);
}

static int outcome(const char *name, struct buf *reply, int r)
{
	const char *text = buf_cstr(reply);

	if (r < 0 || !text || !text[0]) {
		(void)fprintf(stderr, "%s: cannot ask the host to open it%s%s\n", name, r < 0 ? ": " : "", r < 0 ? strerror(-r) : "");
		return NOBODY;
	}
	if (str_eq(text, "ok\n"))
		return DONE;
	(void)fprintf(stderr, "%s: not opened: %s", name, str_starts(text, "no ") ? text + 3 : text);
	return REFUSED;
}

int xdgopen_main(int argc, char **argv)
{
	const char *name = base_of(argv[0]), *url = NULL;
	struct buf reply;
	int r;

	for (int i = 1; i < argc; i++) {
		if (str_eq(argv[i], "--help") || str_eq(argv[i], "--version")) {
			(void)printf("%s (sbx-guest %s): asks this sandbox's host to open a URL\nusage: %s URL\n", name, SBX_VERSION, name);
			return DONE;
		}
		/* Browsers are given options like --new-window, which mean nothing here. */
		if (argv[i][0] == '-')
			continue;
		url = url ? "" : argv[i];
	}
	if (!url || !*url) {
		(void)fprintf(stderr, "usage: %s URL\n", name);
		return USAGE;
	}
	buf_init(&reply, 2048);
	r = ask(url, &reply);
	r = outcome(name, &reply, r);
	buf_done(&reply);
	return r;
}
