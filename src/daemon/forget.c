/* SPDX-License-Identifier: Apache-2.0
 *
 * forget: see forget.h. A job is held by two handles, the poll of the child's pidfd and the deadline; it is freed when
 * both are closed. Enters: names of files in STATE/keeper/ca.
 */
#include "daemon/forget.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "base/spawn.h"
#include "base/str.h"

#define DEADLINE_MS 10000
#define REAP_MS 5000
/* How many leftovers one start of the daemon looks after. */
#define SWEEP_MAX 16

struct job {
	uv_poll_t poll;
	uv_timer_t deadline;
	int pidfd; /* owned */
	char id[STORE_ID_SIZE];
	forget_done *done; /* NULL: nobody waits */
	void *user;
	unsigned handles;
};

static void on_closed(uv_handle_t *h)
{
	struct job *j = h->data;

	if (--j->handles > 0)
		return;
	own_close_p(&j->pidfd);
	free(j);
}

static void finish(struct job *j, bool forgotten)
{
	if (!forgotten)
		log_warn("event=forget_failed id=%s", j->id);
	uv_close((uv_handle_t *)&j->poll, on_closed);
	uv_close((uv_handle_t *)&j->deadline, on_closed);
	if (j->done)
		j->done(j->user);
}

static void on_exit_of_child(uv_poll_t *p, int status, int events)
{
	struct job *j = p->data;
	int code = -1;

	finish(j, spawn_wait(j->pidfd, REAP_MS, &code) == 0 && code == 0);
}

static void on_deadline(uv_timer_t *t)
{
	struct job *j = t->data;

	(void)syscall(SYS_pidfd_send_signal, j->pidfd, SIGKILL, NULL, 0U);
	(void)spawn_wait(j->pidfd, REAP_MS, NULL);
	finish(j, false);
}

static int spawn_keeper(const char *id, int *ret_pidfd, struct err *err)
{
	auto_free char *program = env_program("sbx-keeper");
	const char *const argv[] = { "sbx-keeper", "--forget", id, NULL };
	const struct spawn s = {
		.path = program,
		.argv = argv,
		.stdin_fd = -1,
		.stdout_fd = -1,
		.stderr_fd = -1,
		.die_with_parent = true,
		.cwd = "/",
	};

	if (!program)
		return err_set(err, ERR_INTERNAL, ENOENT, "/proc is not mounted");
	return spawn_start(&s, NULL, ret_pidfd, err);
}

static int start(struct daemon *d, const char *id, forget_done *done, void *user)
{
	struct job *j = calloc(1, sizeof(*j));
	struct err err = { 0 };
	int r = j ? 0 : err_errno(&err, ENOMEM, "no memory");

	if (r == 0)
		r = spawn_keeper(id, &j->pidfd, &err);
	if (r < 0) {
		log_warn("event=forget_failed id=%s error=\"%s\"", id, err.msg);
		free(j);
		return r;
	}
	(void)str_format(j->id, sizeof(j->id), "%s", id);
	j->done = done;
	j->user = user;
	j->handles = 2;
	(void)uv_timer_init(&d->loop, &j->deadline);
	(void)uv_poll_init(&d->loop, &j->poll, j->pidfd);
	j->poll.data = j->deadline.data = j;
	(void)uv_timer_start(&j->deadline, on_deadline, DEADLINE_MS, 0);
	(void)uv_poll_start(&j->poll, UV_READABLE, on_exit_of_child);
	return 0;
}

static bool is_missing(const char *path)
{
	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

int forget_ca(struct daemon *d, const char *id, forget_done *done, void *user)
{
	auto_free char *ca = str_new("%s/keeper/ca/%s.pem", d->dirs.state, id);
	auto_free char *secrets = str_new("%s/keeper/secrets/secrets.json", d->dirs.state);

	if (!ca || !secrets || (is_missing(ca) && is_missing(secrets)))
		return 1;
	return start(d, id, done, user) < 0 ? 1 : 0;
}

void forget_sweep(struct daemon *d, bool (*has_record)(void *user, const char *id), void *user)
{
	auto_free char *path = str_new("%s/keeper/ca", d->dirs.state);
	auto_dir DIR *dir = path ? opendir(path) : NULL;
	struct dirent *e;

	for (int n = 0; dir && n < SWEEP_MAX && (e = readdir(dir));) {
		char id[STORE_ID_SIZE];

		if (strlen(e->d_name) != STORE_ID_SIZE - 1 + 4 || !str_ends(e->d_name, ".pem"))
			continue;
		(void)str_format(id, sizeof(id), "%.36s", e->d_name);
		if (has_record(user, id))
			continue;
		log_info("event=forgetting id=%s", id);
		n += start(d, id, NULL, NULL) == 0;
	}
}
