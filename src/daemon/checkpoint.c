/* SPDX-License-Identifier: Apache-2.0
 *
 * checkpoint: see checkpoint.h. A restore is put together beside what is there and takes its place in an order that leaves, at
 * every moment, a disk that a machine can start from, and never a memory with another disk.
 */
#include "daemon/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "daemon/copywork.h"

#define HOME "checkpoints"
#define RESTORE "restore.new"

struct job {
	struct daemon *daemon; /* borrowed */
	char id[STORE_ID_SIZE];
	char tag[CHECKPOINT_TAG_SIZE];
	pause_done *done;
	void *user;
	json_t *reply; /* owned; of a restore, until it is over */
};

/* --- tags --- */

static int check_tag(const char *tag, struct err *err)
{
	size_t n = strlen(tag);
	char shown[200];

	if (n > 0 && n < CHECKPOINT_TAG_SIZE && tag[0] != '.' && tag[0] != '-' && !str_ends(tag, ".new") &&
	    strspn(tag, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n)
		return 0;
	str_escape(shown, sizeof(shown), tag, n);
	return err_set(err, ERR_INVALID, EINVAL, "bad tag '%s': 1 to %d letters, digits, '.', '_' and '-', neither '.' nor '-' first", shown,
		       CHECKPOINT_TAG_SIZE - 1);
}

static int open_dir(int at, const char *name)
{
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

static int open_all(const struct sandbox *s)
{
	auto_fd int home = open_dir(s->daemon->disks.fd, s->row.id);

	return home < 0 ? -1 : open_dir(home, HOME);
}

static bool is_complete(int all, const char *tag)
{
	auto_fd int dir = open_dir(all, tag);

	return dir >= 0 && faccessat(dir, "manifest", F_OK, AT_SYMLINK_NOFOLLOW) == 0 && faccessat(dir, "disk.img", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static uint64_t bytes_of(int dir)
{
	static const char *const names[] = { "memory", "state", "files", "disk.img" };
	struct stat st;
	uint64_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (fstatat(dir, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0)
			n += (uint64_t)st.st_blocks * 512;
	return n;
}

static json_t *describe(int all, const char *tag)
{
	auto_fd int dir = open_dir(all, tag);
	char created[STORE_TIME_SIZE] = "";
	struct stat st;
	struct tm tm;

	if (dir < 0 || fstatat(dir, "manifest", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return NULL;
	if (gmtime_r(&st.st_mtim.tv_sec, &tm))
		(void)strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_pack("{s:s, s:s, s:I}", "tag", tag, "created_at", created, "bytes", (json_int_t)bytes_of(dir));
}

static int by_time(const void *a, const void *b)
{
	const json_t *const *x = a, *const *y = b;
	int r = strcmp(json_string_value(json_object_get(*x, "created_at")), json_string_value(json_object_get(*y, "created_at")));

	return r ? r : strcmp(json_string_value(json_object_get(*x, "tag")), json_string_value(json_object_get(*y, "tag")));
}

/* What a crash left half-written has its name to tell by, and is removed where it is met and nobody can be writing it. */
static size_t collect(const struct sandbox *s, int all, json_t *found[CHECKPOINT_MAX])
{
	auto_dir DIR *d = fdopendir(dup(all));
	struct dirent *e;
	size_t n = 0;

	while (d && n < CHECKPOINT_MAX && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		if (!str_ends(e->d_name, ".new") && is_complete(all, e->d_name))
			found[n] = describe(all, e->d_name);
		else if (str_ends(e->d_name, ".new") && s->state == SANDBOX_STOPPED && !s->copying)
			(void)io_remove_tree(all, e->d_name);
		if (found[n])
			n++;
	}
	if (n > 1)
		qsort(found, n, sizeof(*found), by_time);
	return n;
}

json_t *checkpoint_list(const struct sandbox *s)
{
	json_t *found[CHECKPOINT_MAX + 1] = { 0 }, *list = json_array();
	auto_fd int all = open_all(s);
	size_t n = all < 0 ? 0 : collect(s, all, found);

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(list, found[i]);
	return list;
}

static int no_such(const struct sandbox *s, const char *tag, struct err *err)
{
	json_t *list = checkpoint_list(s);
	char names[300] = "none";
	const json_t *one;
	size_t i, at = 0;

	json_array_foreach(list, i, one) {
		const char *name = json_string_value(json_object_get(one, "tag"));

		if (at + strlen(name) + 3 > sizeof(names))
			break;
		(void)str_format(names + at, sizeof(names) - at, "%s%s", i ? ", " : "", name);
		at = strlen(names);
	}
	json_decref(list);
	return err_set(err, ERR_NOT_FOUND, ENOENT, "sandbox '%s' has no checkpoint '%s': there is %s", s->row.name, tag, names);
}

/* Its directory among all, the caller's. */
static int find(const struct sandbox *s, const char *tag, int all, struct err *err)
{
	int r = check_tag(tag, err);

	if (r < 0)
		return r;
	if (all < 0 || !is_complete(all, tag))
		return no_such(s, tag, err);
	r = open_dir(all, tag);
	return r < 0 ? err_errno(err, errno, "cannot open the checkpoint '%s'", tag) : r;
}

int checkpoint_remove(struct sandbox *s, const char *tag, struct err *err)
{
	auto_fd int all = open_all(s), dir = find(s, tag, all, err);
	auto_free char *old = str_new("%s.new", tag);
	int r;

	if (dir < 0)
		return dir;
	if (s->copying)
		return err_set(err, ERR_CONFLICT, EBUSY, "sandbox '%s' is being copied: try again", s->row.name);
	/* In one step, whatever comes between. */
	r = !old ? -ENOMEM : renameat(all, tag, all, old) < 0 ? -errno : io_remove_tree(all, old);
	return r < 0 ? err_errno(err, -r, "cannot remove the checkpoint '%s'", tag) : 0;
}

/* --- jobs --- */

static struct sandbox *of(const struct job *j)
{
	for (struct sandbox *s = j->daemon->sandboxes; s; s = s->next)
		if (str_eq(s->row.id, j->id))
			return s;
	return NULL;
}

static struct job *new_job(const struct sandbox *s, const char *tag, pause_done *done, void *user)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	*j = (struct job){ .daemon = s->daemon, .done = done, .user = user };
	memcpy(j->id, s->row.id, sizeof(j->id));
	(void)str_format(j->tag, sizeof(j->tag), "%s", tag);
	return j;
}

static void finish(struct job *j, const json_t *reply, const struct err *err)
{
	struct sandbox *s = of(j);
	json_t *o = reply ? json_copy((json_t *)(uintptr_t)reply) : json_object();

	(void)json_object_set_new(o, "tag", json_string(j->tag));
	j->done(j->user, s, err ? NULL : o, err);
	json_decref(o);
	free(j);
}

/* --- making one --- */

static void on_saved(void *user, struct sandbox *s, const json_t *reply, const struct err *err)
{
	struct job *j = user;

	if (!err)
		log_info("event=checkpoint id=%s tag=%s", j->id, j->tag);
	finish(j, reply, err);
}

static int make_home(const struct sandbox *s, struct err *err)
{
	auto_fd int home = open_dir(s->daemon->disks.fd, s->row.id);
	int all;

	if (home < 0 || (mkdirat(home, HOME, 0700) < 0 && errno != EEXIST))
		return err_errno(err, errno, "cannot make a directory for the checkpoints of sandbox '%s'", s->row.name);
	all = open_dir(home, HOME);
	return all < 0 ? err_errno(err, errno, "cannot open the checkpoints of sandbox '%s'", s->row.name) : all;
}

int checkpoint_make(struct sandbox *s, const char *tag, pause_done *done, void *user, struct err *err)
{
	auto_free char *path = NULL;
	auto_fd int all = -1;
	char now[CHECKPOINT_TAG_SIZE] = "";
	time_t t = time(NULL);
	struct job *j;
	struct tm tm;
	json_t *list;
	size_t n;
	int r;

	if (!tag && gmtime_r(&t, &tm))
		(void)strftime(now, sizeof(now), "%Y%m%d-%H%M%S", &tm);
	tag = tag ? tag : now;
	r = check_tag(tag, err);
	all = r < 0 ? r : make_home(s, err);
	if (all < 0)
		return all;
	list = checkpoint_list(s);
	n = json_array_size(list);
	json_decref(list);
	if (n >= CHECKPOINT_MAX)
		return err_set(err, ERR_CONFLICT, E2BIG, "sandbox '%s' has %d checkpoints, the most it can: remove one", s->row.name, CHECKPOINT_MAX);
	if (faccessat(all, tag, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return err_set(err, ERR_CONFLICT, EEXIST, "sandbox '%s' has a checkpoint '%s' already: give another tag, or remove it", s->row.name,
			       tag);
	path = str_new("%s/%s/" HOME "/%s", s->daemon->disks.path, s->row.id, tag);
	j = new_job(s, tag, done, user);
	r = path && j ? pause_save(s, path, PAUSE_KEEP, on_saved, j, err) : err_errno(err, ENOMEM, "the checkpoint");
	if (r < 0)
		free(j);
	return r;
}

/* --- going back to one --- */

/* The disk of the checkpoint takes its place before its memory does: what is between has a disk and no memory. */
static int put_in_place(struct sandbox *s, struct err *err)
{
	auto_fd int home = open_dir(s->daemon->disks.fd, s->row.id), from = home < 0 ? -1 : open_dir(home, RESTORE);
	int r = from < 0 ? -errno : 0;

	/* Whether or not it is known to be paused: its memory must not meet this disk. */
	if (r == 0 && pause_discard(s, err) < 0)
		return err_code(err);
	if (r == 0 && renameat(from, "disk.img", home, "disk.img") < 0)
		r = -errno;
	if (r == 0)
		(void)fsync(home);
	if (r == 0 && renameat(home, RESTORE, home, SANDBOX_SAVED) < 0)
		r = -errno;
	return r < 0 ? err_errno(err, -r, "cannot put the checkpoint in its place") : 0;
}

static void remove_restore(const struct sandbox *s)
{
	auto_fd int home = open_dir(s->daemon->disks.fd, s->row.id);

	if (home >= 0)
		(void)io_remove_tree(home, RESTORE);
}

static void on_stopped(void *user, struct sandbox *s, const struct err *err)
{
	struct job *j = user;
	struct err mine = { 0 };
	json_t *reply = TAKE_PTR(j->reply);

	s->copying = false;
	if (err)
		mine = *err;
	else if (put_in_place(s, &mine) == 0)
		log_info("event=restored id=%s tag=%s", j->id, j->tag);
	remove_restore(s);
	if (!err)
		(void)pause_look(s, NULL);
	finish(j, reply, mine.kind ? &mine : NULL);
	json_decref(reply);
}

/* Only now does it lose what it is. */
static void on_copied(void *user, const struct clone *clone, const struct err *err)
{
	struct job *j = user;
	struct sandbox *s = of(j);
	struct err mine = { 0 };
	int r;

	if (err)
		mine = *err;
	else if (!s)
		(void)err_set(&mine, ERR_NOT_FOUND, ENOENT, "it was removed meanwhile");
	j->reply = json_pack("{s:{s:b, s:I, s:I}}", "disk", "shared", clone->shared, "bytes", (json_int_t)clone->bytes, "ms", (json_int_t)clone->ms);
	r = mine.kind ? -1 : sandbox_throw_away(s, on_stopped, j, &mine);
	if (r == 1) {
		on_stopped(j, s, NULL);
	} else if (r < 0) {
		if (s) {
			s->copying = false;
			remove_restore(s);
		}
		json_decref(j->reply);
		finish(j, NULL, &mine);
	}
}

int checkpoint_restore(struct sandbox *s, const char *tag, pause_done *done, void *user, struct err *err)
{
	auto_fd int home = open_dir(s->daemon->disks.fd, s->row.id), all = home < 0 ? -1 : open_dir(home, HOME);
	auto_fd int from = find(s, tag, all, err), to = -1;
	struct job *j;
	int r;

	if (from < 0)
		return from;
	if (s->removing || s->copying)
		return err_set(err, ERR_CONFLICT, EBUSY, "sandbox '%s' is being %s: try again", s->row.name, s->removing ? "removed" : "copied");
	(void)io_remove_tree(home, RESTORE);
	if (mkdirat(home, RESTORE, 0700) < 0 || (to = open_dir(home, RESTORE)) < 0)
		return err_errno(err, errno, "cannot make a directory for the checkpoint");
	j = new_job(s, tag, done, user);
	r = j ? copywork_start(&s->daemon->loop, &(struct copywork_want){ from, from, to, to }, on_copied, j, err) :
		err_errno(err, ENOMEM, "the checkpoint");
	if (r < 0) {
		free(j);
		remove_restore(s);
	}
	s->copying = r == 0;
	return r;
}
