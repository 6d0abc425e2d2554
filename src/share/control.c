/* SPDX-License-Identifier: Apache-2.0
 *
 * control: see control.h. The peer is sbx-vm, which is believed: it is waited for, and whole lines come at once.
 */
#include "share/control.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "share/save.h"

static int save(struct fs *f, int fd)
{
	struct err err = { 0 };
	char line[sizeof(err.msg) + 64];
	struct buf state;
	size_t lost = 0;
	int r;

	buf_init(&state, FSSTATE_MAX_BYTES);
	if (save_state(f, &state, &lost, &err) < 0)
		(void)str_format(line, sizeof(line), "no %s %s\n", err_kind_name(err.kind), err.msg);
	else
		(void)str_format(line, sizeof(line), "ok %zu %zu\n", buf_len(&state), lost);
	r = io_write_all(fd, line, strlen(line));
	if (r == 0 && err.kind == ERR_NONE)
		r = io_write_all(fd, buf_bytes(&state), buf_len(&state));
	buf_done(&state);
	return r;
}

int control_serve(void *user)
{
	static const char unknown[] = "no invalid not understood\n";
	struct fs *f = user;
	char line[64];
	ssize_t n = read(f->control_fd, line, sizeof(line) - 1);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0)
		return -EPIPE;
	line[n] = 0;
	if (str_eq(line, CONTROL_SAVE))
		return save(f, f->control_fd);
	return io_write_all(f->control_fd, unknown, sizeof(unknown) - 1);
}
