/* SPDX-License-Identifier: Apache-2.0
 *
 * maker: see maker.h.
 */
#include "vm/maker.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/env.h"
#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/spawn.h"
#include "base/str.h"
#include "vm/fdpass.h"
#include "vm/freezer.h"
#include "vm/frozenkey.h"
#include "vm/holder.h"

/* In the cache; each takes what its guest had in use, about 110 MB. */
#define KEEP_ON_DISK 4

enum { REQUEST_FD = 3, ANSWER_FD = 4 };

DEFINE_AUTO(json, json_t *, json_decref);

/* --- the holder's side --- */

static int request_fd(const struct shape *s, const char *key, struct err *err)
{
	auto_(json) json_t *o = shape_json(s);
	auto_free char *text = o && json_object_set_new(o, "key", json_string(key)) == 0 ? json_dumps(o, JSON_COMPACT) : NULL;
	auto_fd int fd = memfd_create("sbx-shape", MFD_CLOEXEC);

	if (!text || fd < 0 || io_write_all(fd, text, strlen(text)) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_errno(err, ENOMEM, "cannot describe the machine to be frozen");
	return TAKE_FD(fd);
}

int maker_start(const struct shape *s, const char *key, int *ret_fd, struct err *err)
{
	auto_free char *program = env_program("sbx-frozen");
	auto_fd int request = request_fd(s, key, err), mine = -1, theirs = -1;
	const char *const argv[] = { "sbx-frozen", "--make", NULL };
	int pair[2], pidfd = -1, r;

	if (request < 0)
		return request;
	if (!program || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, program ? errno : ENOMEM, "cannot start sbx-frozen");
	mine = pair[0];
	theirs = pair[1];
	r = spawn_start(&(struct spawn){ .path = program,
					 .argv = argv,
					 .stdin_fd = -1,
					 .stdout_fd = -1,
					 .stderr_fd = -1,
					 .fds = (const int[]){ request, theirs },
					 .nfds = 2,
					 .die_with_parent = true,
					 .cwd = "/" },
			NULL, &pidfd, err);
	own_close_p(&pidfd);
	if (r == 0)
		*ret_fd = TAKE_FD(mine);
	return r;
}

int maker_read(int fd, struct frozen *ret, struct err *err)
{
	char text[HOLDER_ANSWER_MAX];
	int fds[2];
	ssize_t n = fdpass_recv(fd, text, sizeof(text), fds, 2);
	auto_(json) json_t *o = n > 0 ? json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, NULL) : NULL;
	const json_t *error = json_object_get(o, "error");
	const char *kind = json_string_value(json_object_get(error, "kind")), *said = json_string_value(json_object_get(error, "message"));

	*ret = (struct frozen){ .memory = fds[0], .state = fds[1] };
	if (o && !error && ret->state >= 0)
		return 0;
	frozen_done(ret);
	if (!said)
		return err_set(err, ERR_INTERNAL, EIO, "sbx-frozen ended without a frozen machine");
	return err_set(err, err_kind_from_name(kind ? kind : ""), 0, "%.400s", said);
}

/* --- the child --- */

static int open_home(struct err *err)
{
	auto_free struct env_dirs *dirs = calloc(1, sizeof(*dirs));
	auto_free char *path = NULL;
	int r = dirs ? env_dirs(dirs, err) : err_errno(err, ENOMEM, "the frozen machines"), fd;

	if (r < 0)
		return r;
	path = str_new("%s/frozen", dirs->cache);
	if (!path)
		return err_errno(err, ENOMEM, "the frozen machines");
	r = env_ensure(path, err);
	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_errno(err, errno, "cannot open %.300s", path) : fd;
}

static int say(const struct frozen *f, const char *key, const struct err *err)
{
	auto_(json) json_t *o = f ? json_pack("{s:s}", "key", key) :
				    json_pack("{s:{s:s, s:s}}", "error", "kind", err_kind_name(err->kind), "message", err->msg);
	auto_free char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	const int fds[] = { f ? f->memory : -1, f ? f->state : -1 };

	return text ? fdpass_send(ANSWER_FD, text, strlen(text), fds, f ? 2 : 0) : -ENOMEM;
}

/* Kernel, initramfs or QEMU may have been replaced since the key was made of them. */
static int make_anew(const struct shape *s, const char *key, struct frozen *f, struct err *err)
{
	char now[FROZEN_KEY];
	int r = freezer_make(s, f, err);

	if (r == 0)
		r = frozenkey(s, now, err);
	if (r == 0 && !str_eq(now, key))
		r = err_set(err, ERR_CONFLICT, EAGAIN, "what the machine is made of was replaced while it was frozen");
	if (r < 0)
		frozen_done(f);
	return r;
}

/* Without a cache it works as well, only anew each time. */
static int come_by(const struct shape *s, const char *key, struct err *err)
{
	auto_fd int home = open_home(err);
	uint64_t began = io_now_ms();
	struct frozen f = { -1, -1 };
	bool kept;
	int r = home < 0 ? home : frozen_load(&f, home, key, s->memory_mib << 20, err);

	if (r < 0 && r != -ENOENT)
		log_warn("event=not_loaded key=%.12s why=\"%s\"", key, err->msg);
	kept = r == 0;
	if (!kept)
		r = make_anew(s, key, &f, err);
	if (r < 0)
		return r;
	log_info("event=%s key=%.12s after_ms=%llu", kept ? "loaded" : "frozen", key, (unsigned long long)(io_now_ms() - began));
	r = say(&f, key, NULL);
	if (!kept && home >= 0) {
		struct err why;

		if (frozen_save(&f, home, key, &why) < 0)
			log_warn("event=not_kept key=%.12s why=\"%s\"", key, why.msg);
		frozen_prune(home, KEEP_ON_DISK);
	}
	frozen_done(&f);
	return r;
}

int maker_main(void)
{
	auto_(json) json_t *o = json_loadfd(REQUEST_FD, JSON_REJECT_DUPLICATES, NULL);
	const char *key = json_string_value(json_object_get(o, "key"));
	struct err err = { 0 };
	struct shape s;
	int r = shape_read(o, &s, &err);

	if (r == 0 && (!key || strlen(key) != FROZEN_KEY - 1))
		r = err_set(&err, ERR_INVALID, EINVAL, "the frozen machine has no key");
	if (r == 0)
		r = come_by(&s, key, &err);
	if (r < 0) {
		log_error("%s", err.msg);
		(void)say(NULL, NULL, &err);
	}
	return r < 0 ? 1 : 0;
}
