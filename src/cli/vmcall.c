/* SPDX-License-Identifier: Apache-2.0
 *
 * vmcall: see vmcall.h.
 */
#include "cli/vmcall.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "wire/record.h"

#define REPLY_MS 10000

int vmcall_connect(struct cli *c, const char *name, const char *socket)
{
	auto_free char *dir = strdup(socket);
	char *slash = dir ? strrchr(dir, '/') : NULL;
	auto_fd int dirfd = -1;
	int fd;

	if (!slash || slash == dir)
		return err_set(&c->err, ERR_INTERNAL, EINVAL, "sandboxd named no socket for '%s'", name);
	*slash = 0;
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = dirfd < 0 ? -errno : io_unix_connect(dirfd, slash + 1);
	return fd < 0 ? err_errno(&c->err, -fd, "cannot reach sandbox '%s' at %s", name, socket) : fd;
}

/* One record; in is emptied of nothing, rec points into it. */
static int receive(int fd, struct buf *in, struct record *rec)
{
	uint64_t end = io_now_ms() + REPLY_MS;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		uint64_t now = io_now_ms();
		int used = record_decode(buf_bytes(in), buf_len(in), rec);
		uint8_t bytes[4096];
		ssize_t n;

		if (used != 0)
			return used < 0 ? used : 0;
		if (now >= end || poll(&p, 1, (int)(end - now)) == 0)
			return -ETIMEDOUT;
		n = recv(fd, bytes, sizeof(bytes), 0);
		if (n == 0 || (n < 0 && errno != EINTR))
			return n == 0 ? -ECONNRESET : -errno;
		if (n > 0 && buf_append(in, bytes, (size_t)n) < 0)
			return -EPROTO;
	}
}

static int understand(struct cli *c, const char *name, const struct record *rec, json_t **ret)
{
	auto_(json) json_t *v = json_loadb((const char *)rec->data, rec->len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *e = json_object_get(v, "error");

	if (rec->type != RECORD_REPLY || !json_is_object(v))
		return err_set(&c->err, ERR_INTERNAL, EPROTO, "sandbox '%s' answered with something unreadable", name);
	if (e)
		return err_set(&c->err, err_kind_from_name(cli_str(e, "kind")), 0, "%s", cli_str(e, "message"));
	if (ret)
		*ret = TAKE_PTR(v);
	return 0;
}

int vmcall(struct cli *c, const char *name, const char *socket, json_t *req, json_t **ret)
{
	auto_free char *text = req ? json_dumps(req, JSON_COMPACT) : NULL;
	auto_fd int fd = vmcall_connect(c, name, socket);
	struct record rec = { 0 };
	struct buf bytes;
	int r;

	json_decref(req);
	if (fd < 0)
		return fd;
	buf_init(&bytes, RECORD_HEAD + RECORD_MAX);
	r = text ? record_encode(&bytes, RECORD_REQUEST, text, strlen(text)) : -ENOMEM;
	if (r == 0 && send(fd, buf_bytes(&bytes), buf_len(&bytes), MSG_NOSIGNAL) != (ssize_t)buf_len(&bytes))
		r = -EPIPE;
	buf_consume(&bytes, buf_len(&bytes));
	if (r == 0)
		r = receive(fd, &bytes, &rec);
	r = r < 0 ? err_errno(&c->err, -r, "cannot talk to sandbox '%s'", name) : understand(c, name, &rec, ret);
	buf_done(&bytes);
	return r;
}
