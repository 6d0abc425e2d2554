/* SPDX-License-Identifier: Apache-2.0
 *
 * savelink: see savelink.h.
 */
#include "vm/savelink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/env.h"
#include "base/io.h"
#include "base/own.h"
#include "base/spawn.h"
#include "base/str.h"
#include "vm/fdpass.h"

#define ANSWER_MAX 16384
#define END_MS 5000

DEFINE_AUTO(json, json_t *, json_decref);

struct savelink {
	uv_poll_t poll;
	int fd, pidfd; /* owned */
	savelink_done done;
	void *user;
	bool sync;
	bool freed;
};

static void on_closed(uv_handle_t *h)
{
	free(h->data);
}

void savelink_free(struct savelink *l)
{
	if (!l || l->freed)
		return;
	l->freed = true;
	(void)syscall(SYS_pidfd_send_signal, l->pidfd, SIGKILL, NULL, 0U);
	(void)spawn_wait(l->pidfd, END_MS, NULL);
	own_close_p(&l->pidfd);
	own_close_p(&l->fd);
	uv_close((uv_handle_t *)&l->poll, on_closed);
}

static void read_error(const json_t *o, struct err *err)
{
	const json_t *error = json_object_get(o, "error");
	const char *kind = json_string_value(json_object_get(error, "kind")), *said = json_string_value(json_object_get(error, "message"));

	(void)err_set(err, kind ? err_kind_from_name(kind) : ERR_INTERNAL, (int)json_integer_value(json_object_get(error, "errno")), "%.400s",
		      said ? said : "sbx-frozen ended before it had saved or loaded the memory");
}

static void on_answer(uv_poll_t *p, int status, int events)
{
	struct savelink *l = p->data;
	auto_free char *text = malloc(ANSWER_MAX);
	struct err err = { 0 };
	ssize_t n = text ? fdpass_recv(l->fd, text, ANSWER_MAX, NULL, 0) : -ENOMEM;
	auto_(json) json_t *o = n > 0 ? json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, NULL) : NULL;

	if (n == -EAGAIN)
		return;
	if (!o || json_object_get(o, "error"))
		read_error(o, &err);
	if (err.kind || !l->sync || json_object_get(o, "synced"))
		(void)uv_poll_stop(p);
	l->done(l->user, err.kind ? NULL : o, err.kind ? &err : NULL);
}

/* Descriptors as the child gets them, one after the other, and under which number in its request. */
static int line_up(const struct savelink_job *job, int *fds, json_t *numbers)
{
	const struct {
		const char *name;
		int fd;
	} table[] = { { "dir", job->dir },     { "memory", job->memory }, { "state", job->state }, { "files", job->files },
		      { "disk", job->disk },   { "pagemap", job->pagemap }, { "mem", job->mem } };
	int n = SAVELINK_FIRST - 3;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (table[i].fd < 0)
			continue;
		if (json_object_set_new(numbers, table[i].name, json_integer(3 + n)) < 0)
			return -ENOMEM;
		fds[n++] = table[i].fd;
	}
	return n;
}

static int request_fd(const struct savelink_job *job, int *fds, size_t *ret_n)
{
	auto_(json) json_t *o = json_pack("{s:s, s:o, s:{}, s:b, s:I}", "op", job->about ? "save" : "load", "shape", shape_json(job->shape), "fds",
					  "sync", job->sync, "at", (json_int_t)job->at);
	auto_free char *text = NULL;
	auto_fd int fd = memfd_create("sbx-save", MFD_CLOEXEC);
	int n = o ? line_up(job, fds, json_object_get(o, "fds")) : -ENOMEM;

	if (n < 0 || fd < 0 || (job->about && json_object_set(o, "about", (json_t *)(uintptr_t)job->about) < 0))
		return -ENOMEM;
	text = json_dumps(o, JSON_COMPACT);
	if (!text || io_write_all(fd, text, strlen(text)) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return -ENOMEM;
	*ret_n = (size_t)n;
	return TAKE_FD(fd);
}

static int start(struct savelink *l, const struct savelink_job *job, struct err *err)
{
	auto_free char *program = env_program("sbx-frozen");
	const char *const argv[] = { "sbx-frozen", job->about ? "--save" : "--load", NULL };
	int fds[16], pair[2];
	auto_fd int request = -1, theirs = -1;
	size_t n = 0;

	request = request_fd(job, fds, &n);
	if (!program || request < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, ENOMEM, "cannot start sbx-frozen");
	l->fd = pair[0];
	theirs = pair[1];
	fds[0] = request;
	fds[1] = theirs;
	return spawn_start(&(struct spawn){ .path = program,
					    .argv = argv,
					    .stdin_fd = -1,
					    .stdout_fd = -1,
					    .stderr_fd = -1,
					    .fds = fds,
					    .nfds = n,
					    .die_with_parent = true,
					    .cwd = "/" },
			   NULL, &l->pidfd, err);
}

struct savelink *savelink_start(uv_loop_t *loop, const struct savelink_job *job, savelink_done done, void *user, struct err *err)
{
	struct savelink *l = calloc(1, sizeof(*l));

	if (!l) {
		(void)err_errno(err, ENOMEM, "cannot start sbx-frozen");
		return NULL;
	}
	*l = (struct savelink){ .fd = -1, .pidfd = -1, .sync = job->sync, .done = done, .user = user };
	if (start(l, job, err) < 0 || uv_poll_init(loop, &l->poll, l->fd) < 0) {
		own_close_p(&l->fd);
		own_close_p(&l->pidfd);
		free(l);
		return NULL;
	}
	l->poll.data = l;
	(void)uv_poll_start(&l->poll, UV_READABLE | UV_DISCONNECT, on_answer);
	return l;
}
