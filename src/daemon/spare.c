/* SPDX-License-Identifier: Apache-2.0
 *
 * spare: see spare.h. One object, made at the first call: idle (the timer alone) or formatting (pidfd, poll and the timer as its
 * deadline). What cannot be done is not done: the next create formats its disk itself.
 */
#include "daemon/spare.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "base/spawn.h"
#include "daemon/sandbox.h"
#include "daemon/settings.h"

#define LOOK_MS 300
#define DEADLINE_MS 60000
#define REAP_MS 5000

struct spare {
	struct daemon *daemon; /* borrowed */
	uv_timer_t timer;
	uv_poll_t poll;
	int pidfd;     /* owned; -1: idle */
	bool looking;  /* the timer runs for a look */
	unsigned handles;
};

static void on_time(uv_timer_t *t);

static void look_soon(struct spare *s)
{
	s->looking = true;
	(void)uv_timer_start(&s->timer, on_time, LOOK_MS, 0);
}

static void on_poll_closed(uv_handle_t *h)
{
	struct spare *s = h->data;

	own_close_p(&s->pidfd);
	if (--s->handles == 0)
		free(s);
}

static void on_timer_closed(uv_handle_t *h)
{
	struct spare *s = h->data;

	if (--s->handles == 0)
		free(s);
}

static void over(struct spare *s)
{
	int status = -1;
	bool ended = spawn_wait(s->pidfd, REAP_MS, &status) == 0;

	(void)uv_timer_stop(&s->timer);
	if (!disk_spare_end(&s->daemon->disks, ended && status == 0))
		log_warn("event=no_spare_disk status=0x%x", (unsigned)status);
	uv_close((uv_handle_t *)&s->poll, on_poll_closed);
}

static void on_exit_of_child(uv_poll_t *p, int status, int events)
{
	over(p->data);
}

static bool something_starts(const struct daemon *d)
{
	for (const struct sandbox *s = d->sandboxes; s; s = s->next)
		if (s->state == SANDBOX_STARTING)
			return true;
	return false;
}

static void begin(struct spare *s)
{
	struct settings set;
	struct err err;

	if (settings_load(s->daemon->dirs.config, &set, NULL, &err) < 0 ||
	    disk_spare_begin(&s->daemon->disks, set.disk_bytes, &s->pidfd, &err) != 0)
		return;
	(void)uv_poll_init(&s->daemon->loop, &s->poll, s->pidfd);
	s->poll.data = s;
	s->handles++;
	(void)uv_poll_start(&s->poll, UV_READABLE, on_exit_of_child);
	(void)uv_timer_start(&s->timer, on_time, DEADLINE_MS, 0);
}

static void on_time(uv_timer_t *t)
{
	struct spare *s = t->data;

	if (!s->looking) {
		(void)syscall(SYS_pidfd_send_signal, s->pidfd, SIGKILL, NULL, 0U);
		return; /* its end follows */
	}
	s->looking = false;
	if (s->daemon->stopping)
		return;
	if (something_starts(s->daemon))
		look_soon(s);
	else
		begin(s);
}

void spare_wanted(struct daemon *d)
{
	struct spare *s = d->spare;

	if (d->stopping)
		return;
	if (!s) {
		s = d->spare = calloc(1, sizeof(*s));
		if (!s)
			return;
		s->daemon = d;
		s->pidfd = -1;
		s->handles = 1;
		(void)uv_timer_init(&d->loop, &s->timer);
		s->timer.data = s;
	}
	if (s->pidfd < 0 && !s->looking)
		look_soon(s);
}

void spare_cancel(struct daemon *d)
{
	struct spare *s = TAKE_PTR(d->spare);

	if (!s)
		return;
	if (s->pidfd >= 0 && !uv_is_closing((uv_handle_t *)&s->poll)) {
		(void)syscall(SYS_pidfd_send_signal, s->pidfd, SIGKILL, NULL, 0U);
		over(s);
	}
	uv_close((uv_handle_t *)&s->timer, on_timer_closed);
}

/* --- the blocks of removed files --- */

struct last_close {
	uv_work_t work;
	int fd; /* owned */
};

static void on_work(uv_work_t *w)
{
	own_close_p(&container_of(w, struct last_close, work)->fd);
}

static void on_worked(uv_work_t *w, int status)
{
	struct last_close *c = container_of(w, struct last_close, work);

	own_close_p(&c->fd);
	free(c);
}

void spare_close(struct daemon *d, int fd)
{
	struct last_close *c = fd >= 0 ? calloc(1, sizeof(*c)) : NULL;

	if (c)
		c->fd = fd;
	if (fd < 0 || (c && uv_queue_work(&d->loop, &c->work, on_work, on_worked) == 0))
		return;
	free(c);
	(void)close(fd);
}
