/* SPDX-License-Identifier: Apache-2.0
 *
 * saver: see saver.h. The memory is a guest's: it is copied and hashed, and never looked into.
 */
#include "vm/saver.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clone.h"
#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "vm/fdpass.h"
#include "vm/frozen.h"
#include "vm/frozenkey.h"
#include "vm/savelink.h"

DEFINE_AUTO(json, json_t *, json_decref);

/* The number of a descriptor as the request names it; -1: it was not given. */
static int fd_of(const json_t *o, const char *name)
{
	const json_t *v = json_object_get(json_object_get(o, "fds"), name);

	return json_is_integer(v) ? (int)json_integer_value(v) : -1;
}

static int copy_disk(int from, int dir, json_t *answer, struct err *err)
{
	auto_fd int to = openat(dir, "disk.img", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct clone c;
	int r = to < 0 ? -errno : clone_file(from, to, &c);

	if (r < 0)
		return err_errno(err, -r, "cannot copy the disk");
	return json_object_set_new(answer, "disk",
				   json_pack("{s:b, s:I, s:I}", "shared", c.shared, "bytes", (json_int_t)c.bytes, "ms", (json_int_t)c.ms)) < 0 ?
		       err_errno(err, ENOMEM, "the disk") :
		       0;
}

static int save(const json_t *o, const struct shape *s, json_t *answer, struct err *err)
{
	const struct frozen f = { fd_of(o, "memory"), fd_of(o, "state") };
	const struct frozen_over over = { fd_of(o, "pagemap"), fd_of(o, "mem"),
					  (uint64_t)json_integer_value(json_object_get(o, "at")) };
	json_t *about = json_object_get(o, "about");
	int dir = fd_of(o, "dir"), disk = fd_of(o, "disk"), r;
	char key[FROZEN_KEY];

	if (f.memory < 0 || f.state < 0 || dir < 0 || !json_is_object(about))
		return err_set(err, ERR_INTERNAL, EINVAL, "the request to save a machine is not complete");
	r = frozenkey(s, key, err);
	if (r == 0 && json_object_set_new(about, "key", json_string(key)) < 0)
		r = err_errno(err, ENOMEM, "the saved memory");
	if (r == 0 && disk >= 0)
		r = copy_disk(disk, dir, answer, err);
	return r < 0 ? r : frozen_write(&f, fd_of(o, "files"), over.mem >= 0 ? &over : NULL, dir, about, err);
}

static int load(const json_t *o, const struct shape *s, json_t *answer, struct err *err)
{
	const struct frozen f = { fd_of(o, "memory"), fd_of(o, "state") };
	auto_(json) json_t *about = NULL;
	char key[FROZEN_KEY];
	const char *had;
	int r = frozen_read(&f, fd_of(o, "files"), fd_of(o, "dir"), &about, err);

	if (r == 0)
		r = frozenkey(s, key, err);
	if (r < 0)
		return r;
	had = json_string_value(json_object_get(about, "key"));
	if (!had || !str_eq(had, key))
		return err_set(err, ERR_CONFLICT, ESTALE,
			       "its memory was saved by another version of sbx, QEMU or this host's kernel, and does not fit");
	return json_object_set(answer, "about", about) < 0 ? err_errno(err, ENOMEM, "the saved memory") : 0;
}

static int run(const json_t *o, json_t *answer, struct err *err)
{
	const char *op = json_string_value(json_object_get(o, "op"));
	struct shape s;
	int r = shape_read(json_object_get(o, "shape"), &s, err);

	if (r < 0)
		return r;
	return op && str_eq(op, "load") ? load(o, &s, answer, err) : save(o, &s, answer, err);
}

static int say(json_t *answer, const struct err *err)
{
	auto_free char *text = NULL;

	if (err) {
		log_warn("event=not_saved why=\"%s\"", err->msg);
		(void)json_object_clear(answer);
		(void)json_object_set_new(answer, "error",
					  json_pack("{s:s, s:i, s:s}", "kind", err_kind_name(err->kind), "errno", err->errnum, "message", err->msg));
	}
	text = json_dumps(answer, JSON_COMPACT);
	return text ? fdpass_send(SAVELINK_ANSWER, text, strlen(text), NULL, 0) : -ENOMEM;
}

int saver_main(void)
{
	auto_(json) json_t *o = json_loadfd(SAVELINK_REQUEST, JSON_REJECT_DUPLICATES, NULL), *answer = json_object();
	struct err err = { 0 };
	int r = answer ? run(o, answer, &err) : err_errno(&err, ENOMEM, "the saved memory");

	if (r == 0 && json_is_true(json_object_get(o, "sync"))) {
		r = say(answer, NULL) < 0 ? err_errno(&err, EPIPE, "nobody listens") : frozen_sync(fd_of(o, "dir"), &err);
		(void)json_object_set_new(answer, "synced", json_true());
	}
	return say(answer, r < 0 ? &err : NULL) < 0 || r < 0;
}
