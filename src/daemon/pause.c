/* SPDX-License-Identifier: Apache-2.0
 *
 * pause: see pause.h.
 */
#include "daemon/pause.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "daemon/vmlink.h"

#define SAVE_MS (40 * 60 * 1000) /* the supervisor has deadlines of its own */

struct job {
	struct daemon *daemon; /* borrowed */
	char id[STORE_ID_SIZE];
	bool end;
	pause_done *done;
	void *user;
	json_t *reply; /* owned */
};

/* The sandbox's directory; the caller's. -1 where it is gone. */
static int open_home(const struct sandbox *s)
{
	return openat(s->daemon->disks.fd, s->row.id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

/* 1: a complete one is there, 0: there is none, -errno. */
static int has_saved(int home)
{
	if (home < 0)
		return home;
	if (faccessat(home, SANDBOX_SAVED "/manifest", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 1;
	return errno == ENOENT ? 0 : -errno;
}

int pause_look(struct sandbox *s, struct err *err)
{
	auto_fd int home = open_home(s);
	int r = has_saved(home < 0 ? -errno : home);

	s->paused = r == 1;
	if (r < 0) {
		log_warn("event=not_looked_at id=%s error=\"%s\"", s->row.id, strerror(-r));
		return err_errno(err, -r, "cannot see whether sandbox '%s' has a saved memory (%.250s/%s)", s->row.name,
				 s->daemon->disks.path, s->row.id);
	}
	if (!s->paused)
		(void)io_remove_tree(home, SANDBOX_SAVED);
	(void)io_remove_tree(home, SANDBOX_SAVED ".new");
	(void)io_remove_tree(home, SANDBOX_SAVED ".old");
	if (!s->copying)
		(void)io_remove_tree(home, "restore.new");
	return 0;
}

char *pause_path(const struct sandbox *s)
{
	return str_new("%s/%s/" SANDBOX_SAVED, s->daemon->disks.path, s->row.id);
}

int pause_discard(struct sandbox *s, struct err *err)
{
	auto_fd int home = open_home(s);
	int r = home < 0 ? -errno : io_remove_tree(home, SANDBOX_SAVED ".old");
	bool was;

	/* In one step, whatever comes between, and on the host's disk before a machine can change the sandbox's. */
	was = r == 0 && renameat(home, SANDBOX_SAVED, home, SANDBOX_SAVED ".old") == 0;
	if (r == 0 && !was && errno != ENOENT)
		r = -errno;
	if (r == 0 && fsync(home) < 0 && errno != EINVAL)
		r = -errno;
	if (r < 0)
		return err_errno(err, -r, "cannot remove the saved memory of sandbox '%s'", s->row.name);
	(void)io_remove_tree(home, SANDBOX_SAVED ".old");
	s->paused = false;
	if (was)
		log_info("event=discarded id=%s name=%s", s->row.id, s->row.name);
	return 0;
}

static struct sandbox *of(const struct job *j)
{
	for (struct sandbox *s = j->daemon->sandboxes; s; s = s->next)
		if (str_eq(s->row.id, j->id))
			return s;
	return NULL;
}

static void finish(struct job *j, struct sandbox *s, const struct err *err)
{
	j->done(j->user, s, err ? NULL : j->reply, err);
	json_decref(j->reply);
	free(j);
}

static void on_off(void *user, struct sandbox *s, const struct err *err)
{
	finish(user, s, err);
}

static void on_saved(void *user, json_t *reply, const struct err *err)
{
	struct job *j = user;
	struct sandbox *s = of(j);
	struct err mine;
	int r;

	if (err || !s) {
		if (err)
			mine = *err;
		else
			(void)err_set(&mine, ERR_NOT_FOUND, ENOENT, "the sandbox was removed meanwhile");
		finish(j, s, &mine);
		return;
	}
	j->reply = json_incref(reply);
	r = j->end ? sandbox_await_end(s, on_off, j, &mine) : 1;
	if (r != 0)
		finish(j, s, r < 0 ? &mine : NULL);
}

static int can_be_saved(const struct sandbox *s, const char *verb, struct err *err)
{
	if (s->removing || s->copying)
		return err_set(err, ERR_CONFLICT, EBUSY, "sandbox '%s' is being %s", s->row.name, s->removing ? "removed" : "copied");
	if (s->state == SANDBOX_RUNNING)
		return 0;
	return err_set(err, ERR_CONFLICT, EAGAIN, "sandbox '%s' is %s: only one that runs can be %s", s->row.name, sandbox_status(s), verb);
}

/* request is stolen. */
static int ask(struct sandbox *s, json_t *request, bool end, pause_done *done, void *user, struct err *err)
{
	struct job *j = calloc(1, sizeof(*j));
	struct vmlink_call call;
	int r;

	if (!j) {
		json_decref(request);
		return err_errno(err, ENOMEM, "sandbox '%s'", s->row.name);
	}
	*j = (struct job){ .daemon = s->daemon, .end = end, .done = done, .user = user };
	(void)str_format(j->id, sizeof(j->id), "%s", s->row.id);
	call = sandbox_call(s, request, SAVE_MS);
	r = vmlink_ask(&call, on_saved, j, err);
	if (r < 0)
		free(j);
	return r;
}

int pause_save(struct sandbox *s, const char *into, enum pause_how how, pause_done *done, void *user, struct err *err)
{
	int r = can_be_saved(s, how == PAUSE_FORK ? "forked" : "saved", err);
	json_t *o = json_pack("{s:s, s:s, s:b, s:b}", "op", "save", "into", into, "disk", 1, "sync", how != PAUSE_FORK);

	if (r == 0)
		return ask(s, o, false, done, user, err);
	json_decref(o);
	return r;
}

int pause_begin(struct sandbox *s, pause_done *done, void *user, struct err *err)
{
	auto_free char *path = pause_path(s);
	int r = path ? can_be_saved(s, "paused", err) : err_errno(err, ENOMEM, "sandbox '%s'", s->row.name);

	return r < 0 ? r : ask(s, json_pack("{s:s, s:s, s:b}", "op", "save", "into", path, "end", 1), true, done, user, err);
}
