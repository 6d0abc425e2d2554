/* SPDX-License-Identifier: Apache-2.0
 *
 * fork: see fork.h. Everything is made in <id>.new, and the record is written last but for the rename, as in create.h.
 */
#include "daemon/fork.h"

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
#include "daemon/copywork.h"
#include "daemon/create.h"
#include "daemon/disk.h"
#include "daemon/name.h"
#include "daemon/rules.h"
#include "daemon/template.h"

struct job {
	struct daemon *daemon; /* borrowed */
	char from[STORE_ID_SIZE];
	struct store_row row; /* owned; of the new one */
	pause_done *done;
	void *user;
};

static struct sandbox *by_id(const struct daemon *d, const char *id)
{
	for (struct sandbox *s = d->sandboxes; s; s = s->next)
		if (str_eq(s->row.id, id))
			return s;
	return NULL;
}

static void finish(struct job *j, struct sandbox *made, const json_t *reply, const struct err *err)
{
	if (err && j->row.id[0])
		disk_abort(&j->daemon->disks, j->row.id);
	j->done(j->user, made, reply, err);
	store_row_done(&j->row);
	free(j);
}

/* <id>.new, where saved/disk.img becomes disk.img. */
static int move_disk(const struct job *j, struct err *err)
{
	auto_free char *from = str_new("%s.new/" SANDBOX_SAVED "/disk.img", j->row.id), *to = str_new("%s.new/disk.img", j->row.id);
	int fd = j->daemon->disks.fd;

	if (!from || !to)
		return err_errno(err, ENOMEM, "the new sandbox");
	return renameat(fd, from, fd, to) < 0 && errno != ENOENT ? err_errno(err, errno, "cannot give the new sandbox its disk") : 0;
}

/* As create.c's make, for a disk that is there. */
static int enter(struct job *j, struct sandbox **ret, struct err *err)
{
	struct daemon *d = j->daemon;
	char id[STORE_ID_SIZE];
	int r = store_add(d->store, &j->row, err);

	if (r < 0)
		return r;
	memcpy(id, j->row.id, sizeof(id));
	r = disk_commit(&d->disks, id, err);
	if (r == 0) {
		*ret = sandbox_new(d, &j->row);
		r = *ret ? 0 : err_errno(err, ENOMEM, "the new sandbox");
	}
	if (r < 0)
		(void)store_remove(d->store, id, NULL);
	return r;
}

static void commit(struct job *j, const json_t *reply)
{
	struct sandbox *from = by_id(j->daemon, j->from), *made = NULL;
	auto_free char *holder = str_new("%s/%s", j->daemon->disks.path, j->row.id);
	struct err err = { 0 }, why = { 0 };
	int r = move_disk(j, &err);

	if (r == 0)
		r = enter(j, &made, &err);
	if (r < 0) {
		finish(j, NULL, NULL, &err);
		return;
	}
	(void)pause_look(made, NULL);
	if (!holder || template_hold_too(j->daemon->dirs.cache, j->from, made->row.id, holder, &why) < 0)
		log_warn("event=template_not_held id=%s error=\"%s\"", made->row.id, why.msg);
	/* What was refused to the one is refused to the other, or there is no other. */
	if (from && rules_copy(j->daemon, from, made, &err) < 0) {
		(void)sandbox_remove(made, &why);
		finish(j, NULL, NULL, &err);
		return;
	}
	log_info("event=forked id=%s name=%s from=%s", made->row.id, made->row.name, j->from);
	finish(j, made, reply, NULL);
}

static void on_saved(void *user, struct sandbox *s, const json_t *reply, const struct err *err)
{
	if (err)
		finish(user, NULL, NULL, err);
	else
		commit(user, reply);
}

static void on_copied(void *user, const struct clone *clone, const struct err *err)
{
	struct job *j = user;
	struct sandbox *from = by_id(j->daemon, j->from);
	json_t *reply;

	if (from)
		from->copying = false;
	if (err) {
		finish(j, NULL, NULL, err);
		return;
	}
	reply = json_pack("{s:{s:b, s:I, s:I}}", "disk", "shared", clone->shared, "bytes", (json_int_t)clone->bytes, "ms", (json_int_t)clone->ms);
	commit(j, reply);
	json_decref(reply);
}

/* --- the new one --- */

static int copy_workspaces(const struct store_row *from, struct store_row *to)
{
	for (size_t i = 0; i < from->nworkspaces; i++) {
		to->workspaces[i] = from->workspaces[i];
		to->workspaces[i].path = strdup(from->workspaces[i].path);
		if (!to->workspaces[i].path)
			return -ENOMEM;
		to->nworkspaces = i + 1;
	}
	return 0;
}

static int plan(const struct sandbox *s, const char *name, struct store_row *row, struct err *err)
{
	int r = name_check(name, err);

	if (r < 0)
		return r;
	for (const struct sandbox *other = s->daemon->sandboxes; other; other = other->next)
		if (str_eq(other->row.name, name))
			return err_set(err, ERR_CONFLICT, EEXIST, "sandbox '%s' exists already: give another name", name);
	*row = (struct store_row){ .cpus = s->row.cpus, .memory_mib = s->row.memory_mib, .keep = s->row.keep, .cold = s->row.cold };
	memcpy(row->agent, s->row.agent, sizeof(row->agent));
	(void)str_format(row->name, sizeof(row->name), "%s", name);
	row->env = json_deep_copy(s->row.env);
	row->template = json_deep_copy(s->row.template);
	r = create_identity(row, err);
	if (r == 0 && (!row->env || !row->template || copy_workspaces(&s->row, row) < 0))
		r = err_errno(err, ENOMEM, "the new sandbox");
	return r;
}

static int make_dirs(const struct job *j, bool memory, struct err *err)
{
	auto_free char *dir = str_new("%s.new", j->row.id), *saved = str_new("%s.new/" SANDBOX_SAVED, j->row.id);
	int fd = j->daemon->disks.fd;

	if (!dir || !saved)
		return err_errno(err, ENOMEM, "the new sandbox");
	if (mkdirat(fd, dir, 0700) < 0 || (memory && mkdirat(fd, saved, 0700) < 0))
		return err_errno(err, errno, "cannot make a directory in %.300s", j->daemon->disks.path);
	return 0;
}

static int open_at(int fd, const char *id, const char *rest)
{
	auto_free char *path = str_new("%s%s", id, rest);

	return path ? openat(fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) : -1;
}

/* Of one that does not run: a paused one's memory is there already. */
static int copy_stopped(struct sandbox *s, struct job *j, struct err *err)
{
	int fd = j->daemon->disks.fd, r = make_dirs(j, s->paused, err);
	auto_fd int disk = open_at(fd, s->row.id, ""), memory = s->paused ? open_at(fd, s->row.id, "/" SANDBOX_SAVED) : -1;
	auto_fd int to_disk = open_at(fd, j->row.id, ".new"), to_memory = s->paused ? open_at(fd, j->row.id, ".new/" SANDBOX_SAVED) : -1;

	if (r == 0 && (disk < 0 || to_disk < 0 || (s->paused && (memory < 0 || to_memory < 0))))
		r = err_errno(err, errno, "cannot open the directory of sandbox '%s'", s->row.name);
	if (r == 0)
		r = copywork_start(&j->daemon->loop, &(struct copywork_want){ memory, disk, to_memory, to_disk }, on_copied, j, err);
	if (r == 0)
		s->copying = true;
	return r;
}

static int copy_running(struct sandbox *s, struct job *j, struct err *err)
{
	auto_free char *into = str_new("%s/%s.new/" SANDBOX_SAVED, j->daemon->disks.path, j->row.id);
	int r = into ? make_dirs(j, false, err) : err_errno(err, ENOMEM, "the new sandbox");

	return r < 0 ? r : pause_save(s, into, PAUSE_FORK, on_saved, j, err);
}

int fork_begin(struct sandbox *s, const char *name, pause_done *done, void *user, struct err *err)
{
	struct job *j = calloc(1, sizeof(*j));
	int r;

	if (!j)
		return err_errno(err, ENOMEM, "the new sandbox");
	*j = (struct job){ .daemon = s->daemon, .done = done, .user = user };
	memcpy(j->from, s->row.id, sizeof(j->from));
	r = plan(s, name, &j->row, err);
	if (r == 0 && (s->removing || s->copying))
		r = err_set(err, ERR_CONFLICT, EBUSY, "sandbox '%s' is being %s: try again", s->row.name, s->removing ? "removed" : "copied");
	if (r == 0)
		r = disk_ready(&s->daemon->disks, err);
	if (r == 0)
		r = s->state == SANDBOX_STOPPED ? copy_stopped(s, j, err) : copy_running(s, j, err);
	if (r < 0) {
		if (j->row.id[0])
			disk_abort(&s->daemon->disks, j->row.id);
		store_row_done(&j->row);
		free(j);
	}
	return r;
}
