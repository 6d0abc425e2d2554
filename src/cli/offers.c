/* SPDX-License-Identifier: Apache-2.0
 *
 * offers: see offers.h.
 */
#include "cli/offers.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/io.h"
#include "base/spawn.h"
#include "base/str.h"
#include "cli/vmcall.h"
#include "wire/record.h"

void offers_init(struct offers *o, const char *name)
{
	*o = (struct offers){ .fd = -1, .name = name };
	buf_init(&o->in, RECORD_HEAD + RECORD_MAX);
}

void offers_done(struct offers *o)
{
	own_close_p(&o->fd);
	buf_done(&o->in);
}

void offers_connect(struct offers *o, struct cli *c, const char *socket)
{
	static const char req[] = "{\"op\":\"opens\"}";
	struct cli quiet = { .dirs = c->dirs };
	struct buf out;

	o->fd = vmcall_connect(&quiet, o->name, socket);
	if (o->fd < 0)
		return;
	buf_init(&out, sizeof(req) + RECORD_HEAD);
	if (record_encode(&out, RECORD_REQUEST, req, sizeof(req) - 1) < 0 ||
	    send(o->fd, buf_bytes(&out), buf_len(&out), MSG_NOSIGNAL) != (ssize_t)buf_len(&out) || io_set_nonblock(o->fd, true) < 0)
		own_close_p(&o->fd);
	buf_done(&out);
}

static void start(const struct offers *o, json_int_t id)
{
	char number[24];
	const char *const argv[] = { "sbx", "open", "--attached", o->name, number, NULL };
	auto_fd int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct spawn s = { .path = "/proc/self/exe", .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = null, .new_session = true };
	struct err err;

	(void)str_format(number, sizeof(number), "%lld", (long long)id);
	/* Where it cannot be started, the supervisor tells the program in the sandbox in its time. */
	if (null >= 0)
		(void)spawn_start(&s, NULL, NULL, &err);
}

void offers_read(struct offers *o)
{
	uint8_t *room = buf_reserve(&o->in, buf_room(&o->in));
	ssize_t n = room ? recv(o->fd, room, buf_room(&o->in), MSG_DONTWAIT) : 0;
	struct record rec;
	int used;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		own_close_p(&o->fd);
		return;
	}
	buf_commit(&o->in, (size_t)n);
	while ((used = record_decode(buf_bytes(&o->in), buf_len(&o->in), &rec)) > 0) {
		auto_(json) json_t *v =
			rec.type == RECORD_EVENT ? json_loadb((const char *)rec.data, rec.len, JSON_REJECT_DUPLICATES, NULL) : NULL;

		if (json_is_integer(json_object_get(v, "open")))
			start(o, json_integer_value(json_object_get(v, "open")));
		buf_consume(&o->in, (size_t)used);
	}
	if (used < 0)
		own_close_p(&o->fd);
}
