/* SPDX-License-Identifier: Apache-2.0
 *
 * tool: see tool.h. The process has ended when its pipe has: it and its children hold the only writing end.
 */
#include "daemon/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/env.h"
#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/pump.h"
#include "base/spawn.h"

#define LINE_MAX_BYTES 65536
#define ARGS_MAX 8
#define EXIT_MS 5000

struct tool {
	struct pump pump;
	int pidfd; /* owned */
	struct buf in;
	const struct tool_ops *ops; /* borrowed */
	void *user;
	json_t *result; /* owned; NULL */
	bool over;
};

static void on_closed(struct pump *p)
{
	struct tool *t = p->user;

	buf_done(&t->in);
	json_decref(t->result);
	own_close_p(&t->pidfd);
	free(t);
}

/* Reaps it. Its output has ended, so that it is about to; or it is told to. */
static void reap(struct tool *t, bool tell)
{
	if (tell)
		(void)syscall(SYS_pidfd_send_signal, t->pidfd, SIGTERM, NULL, 0U);
	if (spawn_wait(t->pidfd, EXIT_MS, NULL) == -ETIMEDOUT) {
		(void)syscall(SYS_pidfd_send_signal, t->pidfd, SIGKILL, NULL, 0U);
		(void)spawn_wait(t->pidfd, EXIT_MS, NULL);
	}
}

static void on_line(struct tool *t, const char *text, size_t n)
{
	json_t *o = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);

	if (!json_is_object(o)) {
		log_warn("event=tool_line_ignored");
	} else if (json_object_get(o, "progress")) {
		t->ops->progress(t->user, o);
	} else if (json_object_get(o, "manifest") || json_object_get(o, "error")) {
		json_decref(t->result);
		t->result = json_incref(o);
	}
	json_decref(o);
}

static int on_bytes(struct pump *p, const uint8_t *bytes, size_t n)
{
	struct tool *t = p->user;

	while (n > 0 && !t->over) {
		const uint8_t *lf = memchr(bytes, '\n', n);
		size_t take = lf ? (size_t)(lf - bytes) : n;

		if (buf_append(&t->in, bytes, take) < 0)
			return -EMSGSIZE;
		if (lf) {
			on_line(t, (const char *)buf_bytes(&t->in), buf_len(&t->in));
			buf_consume(&t->in, buf_len(&t->in));
			take++;
		}
		bytes += take;
		n -= take;
	}
	return 0;
}

static void on_end(struct pump *p, int error)
{
	struct tool *t = p->user;
	json_t *result = error ? NULL : json_incref(t->result);

	if (error)
		log_error("event=tool_garbled error=\"%s\"", strerror(-error));
	reap(t, error != 0);
	t->over = true;
	pump_stop(&t->pump);
	t->ops->end(t->user, result);
	json_decref(result);
}

static const struct pump_ops pump_ops = { .bytes = on_bytes, .end = on_end, .closed = on_closed };

static int input_fd(const json_t *input, struct err *err)
{
	auto_fd int fd = memfd_create("sbx-tool", MFD_CLOEXEC);
	auto_free char *text = json_dumps(input, JSON_COMPACT);
	int r = fd >= 0 && text ? io_write_all(fd, text, strlen(text)) : -ENOMEM;

	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	return r < 0 ? err_errno(err, -r, "cannot start sbx-image") : TAKE_FD(fd);
}

static int spawn_image(const char *const *args, int in, int out, int *ret_pidfd, struct err *err)
{
	auto_free char *program = env_program("sbx-image");
	const char *argv[ARGS_MAX + 2] = { "sbx-image" };
	struct spawn s = {
		.path = program,
		.argv = argv,
		.stdin_fd = in,
		.stdout_fd = out,
		.stderr_fd = -1,
		.die_with_parent = true,
		.cwd = "/",
	};

	for (size_t i = 0; i < ARGS_MAX && args[i]; i++)
		argv[i + 1] = args[i];
	if (!program)
		return err_set(err, ERR_INTERNAL, ENOENT, "/proc is not mounted");
	if (access(program, X_OK) < 0)
		return err_set(err, ERR_UNAVAILABLE, errno, "%.300s is missing: install sbx again", program);
	return spawn_start(&s, NULL, ret_pidfd, err);
}

struct tool *tool_start(uv_loop_t *loop, const char *const *args, const json_t *input, const struct tool_ops *ops, void *user,
			struct err *err)
{
	auto_free struct tool *t = calloc(1, sizeof(*t));
	auto_fd int in = input ? input_fd(input, err) : -1, rd = -1, wr = -1;
	int p[2], r;

	if (input && in < 0)
		return NULL;
	if (!t || pipe2(p, O_CLOEXEC) < 0) {
		(void)err_errno(err, errno, "cannot start sbx-image");
		return NULL;
	}
	rd = p[0];
	wr = p[1];
	t->pidfd = -1;
	if (spawn_image(args, in, wr, &t->pidfd, err) < 0)
		return NULL;
	t->ops = ops;
	t->user = user;
	buf_init(&t->in, LINE_MAX_BYTES);
	r = pump_start(&t->pump, loop, TAKE_FD(rd), &pump_ops, t);
	if (r < 0) {
		(void)err_errno(err, -r, "cannot listen to sbx-image");
		reap(t, true);
		own_close_p(&t->pidfd);
		return NULL;
	}
	return TAKE_PTR(t);
}

void tool_kill(struct tool *t)
{
	if (!t || t->over)
		return;
	t->over = true;
	reap(t, true);
	pump_stop(&t->pump);
}
