/* SPDX-License-Identifier: Apache-2.0
 *
 * login: see login.h. Enters: the keeper's replies, and the events of sbx-login, which repeats what other hosts said.
 */
#include "cli/login.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/io.h"
#include "base/ondemand.h"
#include "base/spawn.h"
#include "base/str.h"
#include "cli/keeper.h"

#define PROGRAM "sbx-login"
#define LOCK_MS 60000
#define END_MS 5000

int login_registry(struct cli *c, const char *what, const char *s, struct dest *ret)
{
	enum dest_refusal why = dest_parse_authority(s, strlen(s), 443, DEST_HTTPS, ret);

	return why == DEST_OK ? 0 : err_set(&c->err, ERR_INVALID, EINVAL, "%s '%.200s': %s", what, s, dest_refusal_text(why));
}

int login_lock(struct cli *c)
{
	auto_free char *path = str_new("%s/login.lock", c->dirs.runtime);
	auto_fd int fd = -1;
	int r = path ? env_ensure(c->dirs.runtime, &c->err) : err_errno(&c->err, ENOMEM, "the sign-in");

	if (r < 0)
		return r;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	r = fd < 0 ? -errno : ondemand_lock(fd, LOCK_MS);
	if (r < 0)
		return err_errno(&c->err, -r, "cannot lock %.300s", path);
	return TAKE_FD(fd);
}

/* --- the keeper --- */

/* One request on a connection; reply has KEEPERMSG_MAX_BYTES. Its bytes, or negative with c->err. */
static ssize_t ask(struct cli *c, int fd, const struct loginmsg_request *q, char *reply)
{
	struct buf out;

	buf_init(&out, KEEPERMSG_MAX_BYTES);
	return keeper_exchange(c, fd, &out, loginmsg_encode(q, &out), reply);
}

struct loginmsg_list *login_list(struct cli *c)
{
	auto_free char *reply = malloc(KEEPERMSG_MAX_BYTES);
	auto_free struct loginmsg_request *q = calloc(1, sizeof(*q));
	struct loginmsg_list *l = calloc(1, sizeof(*l));
	auto_fd int fd = -1;
	ssize_t n;

	if (!reply || !q || !l) {
		(void)err_errno(&c->err, ENOMEM, "the sign-ins");
	} else if (!keeper_holds(c, "logins")) {
		return l;
	} else if ((fd = keeper_connect(c)) >= 0) {
		q->op = LOGINMSG_LIST;
		n = ask(c, fd, q, reply);
		if (n >= 0 && loginmsg_decode_list(reply, (size_t)n, l, &c->err) == 0)
			return l;
	}
	free(l);
	return NULL;
}

/* A request that is answered by ok, or for LOGINMSG_USE by a login. The connection, or negative with c->err. */
static int request(struct cli *c, const struct loginmsg_request *q)
{
	auto_free char *reply = malloc(KEEPERMSG_MAX_BYTES);
	auto_fd int fd = reply ? keeper_connect(c) : err_errno(&c->err, ENOMEM, "the sign-in");
	struct loginmsg_login l;
	ssize_t n;
	int r;

	if (fd < 0)
		return err_code(&c->err);
	n = ask(c, fd, q, reply);
	if (n < 0)
		return (int)n;
	r = q->op == LOGINMSG_USE ? loginmsg_decode_login(reply, (size_t)n, &l, &c->err) :
				    secretmsg_decode_ok(reply, (size_t)n, &c->err);
	return r < 0 ? r : TAKE_FD(fd);
}

static int by_name(struct cli *c, enum loginmsg_op op, const char *name)
{
	auto_free struct loginmsg_request *q = calloc(1, sizeof(*q));

	if (!q || str_format(q->name, sizeof(q->name), "%s", name) < 0)
		return err_errno(&c->err, q ? ENAMETOOLONG : ENOMEM, "the sign-in");
	q->op = op;
	return request(c, q);
}

int login_remove(struct cli *c, const char *name)
{
	auto_fd int fd = by_name(c, LOGINMSG_RM, name);

	return fd < 0 ? err_code(&c->err) : 0;
}

int login_use(struct cli *c, const char *name)
{
	return by_name(c, LOGINMSG_USE, name);
}

int login_begin(struct cli *c, const struct loginmsg_login *l)
{
	auto_free struct loginmsg_request *q = calloc(1, sizeof(*q));

	if (!q)
		return err_errno(&c->err, ENOMEM, "the sign-in");
	q->op = LOGINMSG_BEGIN;
	q->login = *l;
	return request(c, q);
}

/* --- sbx-login --- */

static void show_code(const struct oidc_device *d)
{
	cli_say("Open this address in a browser, and enter the code there:\n\n    %s\n    %s\n", d->uri, d->user_code);
	if (d->complete[0])
		cli_say("Or open this one, and compare the code:\n\n    %s\n", d->complete);
	cli_say("Waiting for at most %lld min. Ctrl-C gives up.", (long long)(d->expires_s + 59) / 60);
}

/* 1: it was the last one. */
static int take_event(struct cli *c, const char *line, size_t n, struct logintalk_request *q)
{
	auto_free struct logintalk_event *e = calloc(1, sizeof(*e));
	int r = e ? logintalk_decode_event(line, n, e, &c->err) : err_errno(&c->err, ENOMEM, "the sign-in");

	if (r < 0)
		return r;
	switch (e->kind) {
	case LOGINTALK_CODE:
		show_code(&e->code);
		return 0;
	case LOGINTALK_NOTE:
		cli_say("%s", e->error.msg);
		return 0;
	case LOGINTALK_DONE:
		q->login = e->login;
		return 1;
	case LOGINTALK_ERROR:
		break;
	}
	return err_set(&c->err, e->error.kind, 0, "%s", e->error.msg);
}

static int take_events(struct cli *c, int fd, struct logintalk_request *q)
{
	struct buf in;
	int r = 0;

	buf_init(&in, LOGINTALK_MAX_BYTES + 1);
	while (r == 0) {
		const char *end = buf_len(&in) ? memchr(buf_bytes(&in), '\n', buf_len(&in)) : NULL;
		char bytes[4096];
		ssize_t n;

		if (end) {
			size_t len = (size_t)(end - (const char *)buf_bytes(&in));

			r = take_event(c, (const char *)buf_bytes(&in), len, q);
			buf_consume(&in, len + 1);
			continue;
		}
		n = read(fd, bytes, sizeof(bytes));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || buf_append(&in, bytes, (size_t)n) < 0)
			r = err_set(&c->err, ERR_INTERNAL, EPIPE, PROGRAM " ended without a word");
	}
	buf_done(&in);
	return r < 0 ? r : 0;
}

/* The request as the content of a pipe that it can be read from. */
static int pack(struct cli *c, const struct logintalk_request *q)
{
	auto_fd int rd = -1, wr = -1;
	struct buf out;
	int p[2], r;

	if (pipe2(p, O_CLOEXEC) < 0)
		return err_errno(&c->err, errno, "cannot make a pipe");
	rd = p[0];
	wr = p[1];
	buf_init(&out, LOGINTALK_MAX_BYTES);
	r = logintalk_encode(q, &out);
	/* A pipe holds as much as a request may have. */
	if (r == 0)
		r = io_write_all(wr, buf_bytes(&out), buf_len(&out));
	buf_done(&out);
	return r < 0 ? err_errno(&c->err, -r, "cannot write the request to " PROGRAM) : TAKE_FD(rd);
}

int login_run(struct cli *c, struct logintalk_request *q, int keeper_fd, int stdin_fd)
{
	auto_free char *path = env_program(PROGRAM);
	const char *const argv[] = { PROGRAM, NULL };
	auto_fd int request_fd = pack(c, q), rd = -1, wr = -1, pidfd = -1;
	int fds[] = { request_fd, keeper_fd }, p[2], r, status;

	if (!path || request_fd < 0)
		return path ? err_code(&c->err) : err_errno(&c->err, ENOMEM, PROGRAM);
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_errno(&c->err, errno, "cannot make a pipe");
	rd = p[0];
	wr = p[1];
	r = spawn_start(&(struct spawn){ .path = path,
					 .argv = argv,
					 .stdin_fd = stdin_fd,
					 .stdout_fd = wr,
					 .stderr_fd = -1,
					 .fds = fds,
					 .nfds = ARRAY_LEN(fds),
					 .die_with_parent = true },
			NULL, &pidfd, &c->err);
	if (r < 0)
		return r;
	own_close_p(&wr);
	r = take_events(c, rd, q);
	own_close_p(&rd);
	/* It has nothing left to do. */
	(void)spawn_wait(pidfd, END_MS, &status);
	return r;
}
