/* SPDX-License-Identifier: Apache-2.0
 *
 * console: see console.h.
 */
#include "vm/console.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/pump.h"
#include "base/str.h"

struct console {
	struct pump pump;
	const char *name; /* borrowed; NULL: to a file */
	int dir, file;    /* owned */
	size_t written, lines;
	char line[400], last[800];
	size_t len;
	bool freed, pump_closed;
};

static void open_file(struct console *c)
{
	own_close_p(&c->file);
	(void)renameat(c->dir, "console.log", c->dir, "console.log.old");
	c->file = openat(c->dir, "console.log", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	c->written = 0;
}

static void end_line(struct console *c)
{
	if (c->len > 0 && c->line[c->len - 1] == '\r')
		c->len--;
	if (c->len == 0)
		return;
	str_escape(c->last, sizeof(c->last), c->line, c->len);
	c->len = 0;
	if (c->name && c->lines < CONSOLE_MAX_LINES)
		log_warn("from=%s %s", c->name, c->last);
	c->lines++;
}

static int on_bytes(struct pump *p, const uint8_t *bytes, size_t n)
{
	struct console *c = p->user;

	if (!c->name && c->file >= 0) {
		if (c->written + n > CONSOLE_MAX_BYTES)
			open_file(c);
		if (c->file >= 0 && io_write_all(c->file, bytes, n) == 0)
			c->written += n;
	}
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] == '\n')
			end_line(c);
		else if (c->len < sizeof(c->line))
			c->line[c->len++] = (char)bytes[i];
	}
	return 0;
}

static void on_closed(struct pump *p)
{
	struct console *c = p->user;

	c->pump_closed = true;
	if (c->freed)
		free(c);
}

static const struct pump_ops ops = { .bytes = on_bytes, .closed = on_closed };

static struct console *start(uv_loop_t *loop, int fd, const char *name, const char *dir)
{
	struct console *c = calloc(1, sizeof(*c));

	if (!c) {
		(void)close(fd);
		return NULL;
	}
	c->name = name;
	c->file = c->dir = -1;
	if (dir) {
		c->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		open_file(c);
	}
	if (pump_start(&c->pump, loop, fd, &ops, c) < 0) {
		own_close_p(&c->dir);
		own_close_p(&c->file);
		free(c);
		return NULL;
	}
	return c;
}

struct console *console_to_file(uv_loop_t *loop, int fd, const char *dir)
{
	return start(loop, fd, NULL, dir);
}

struct console *console_to_log(uv_loop_t *loop, int fd, const char *name)
{
	return start(loop, fd, name, NULL);
}

const char *console_last(const struct console *c)
{
	return c ? c->last : "";
}

void console_drain(struct console *c)
{
	uint8_t chunk[4096];

	if (!c || c->pump.stopped)
		return;
	for (int i = 0; i < 64; i++) {
		ssize_t n = read(c->pump.fd, chunk, sizeof(chunk));

		if (n <= 0)
			break;
		(void)on_bytes(&c->pump, chunk, (size_t)n);
	}
	end_line(c);
}

void console_free(struct console *c)
{
	if (!c || c->freed)
		return;
	c->freed = true;
	own_close_p(&c->dir);
	own_close_p(&c->file);
	if (c->pump_closed)
		free(c);
	else
		pump_stop(&c->pump);
}
