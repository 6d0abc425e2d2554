/* SPDX-License-Identifier: Apache-2.0
 *
 * halt: see halt.h. There is one end, so the state is the module's.
 */
#include "guest/halt.h"

#include <errno.h>
#include <signal.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/console.h"
#include "guest/ctl.h"
#include "guest/root.h"
#include "guest/session.h"
#include "guest/workspaces.h"

#define TERM_MS 5000
#define KILL_MS 500
#define FLUSH_MS 500
#define TOTAL_MS 8000

enum halt_phase { HALT_NONE, HALT_TERM, HALT_KILL, HALT_FLUSH, HALT_UNMOUNT, HALT_SAVE };

static enum halt_phase phase;
static bool half_set; /* the setup's thread may still be mounting */
static uv_timer_t phase_timer, end_timer;
static uv_work_t unmount_work, save_work;
static halt_done *saved; /* NULL: the disk counts, too */
static void *saved_user;

void halt_now(void)
{
	(void)reboot(RB_POWER_OFF);
	for (;;)
		(void)pause();
}

static void on_end(uv_timer_t *t)
{
	console_line("power off with work left undone");
	halt_now();
}

static void do_unmount(uv_work_t *w)
{
	if (half_set)
		sync();
	else if (root_teardown() < 0)
		console_line("the disk could not be unmounted");
}

static void on_unmounted(uv_work_t *w, int status)
{
	halt_now();
}

static void do_save(uv_work_t *w)
{
	workspaces_sync();
}

/* The host ends the machine; should it not, on_end does. */
static void on_saved(uv_work_t *w, int status)
{
	saved(saved_user);
}

static void on_phase_timeout(uv_timer_t *t);

static void enter(struct guest *g, enum halt_phase next, uint64_t timeout_ms)
{
	phase = next;
	if (timeout_ms)
		(void)uv_timer_start(&phase_timer, on_phase_timeout, timeout_ms, 0);
	else
		(void)uv_timer_stop(&phase_timer);
	halt_poke(g);
}

static void advance(struct guest *g)
{
	switch (phase) {
	case HALT_TERM:
		if (!g->childless)
			(void)kill(-1, SIGKILL);
		enter(g, HALT_KILL, KILL_MS);
		break;
	case HALT_KILL:
		if (saved) {
			enter(g, HALT_SAVE, 0);
			(void)uv_queue_work(&g->loop, &save_work, do_save, on_saved);
		} else {
			enter(g, HALT_FLUSH, FLUSH_MS);
		}
		break;
	case HALT_FLUSH:
		phase = HALT_UNMOUNT;
		(void)uv_timer_stop(&phase_timer);
		(void)uv_queue_work(&g->loop, &unmount_work, do_unmount, on_unmounted);
		break;
	default:
		break;
	}
}

static void on_phase_timeout(uv_timer_t *t)
{
	advance(t->data);
}

void halt_poke(struct guest *g)
{
	bool met = false;

	if (phase == HALT_TERM || phase == HALT_KILL)
		met = g->childless;
	else if (phase == HALT_FLUSH)
		met = sessions_all_over(g) && ctl_idle(g);
	if (met)
		advance(g);
}

static void begin(struct guest *g)
{
	siginfo_t si;

	half_set = g->state == GUEST_SETTING;
	g->state = GUEST_HALTING;
	(void)uv_timer_init(&g->loop, &phase_timer);
	(void)uv_timer_init(&g->loop, &end_timer);
	phase_timer.data = g;
	(void)uv_timer_start(&end_timer, on_end, TOTAL_MS, 0);
	g->childless = waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD;
}

void halt_start(struct guest *g)
{
	if (phase != HALT_NONE)
		return;
	begin(g);
	(void)kill(-1, SIGTERM);
	(void)kill(-1, SIGHUP);
	enter(g, HALT_TERM, TERM_MS);
}

int halt_discard(struct guest *g, halt_done *done, void *user)
{
	if (phase != HALT_NONE || g->state != GUEST_READY)
		return -EBUSY;
	begin(g);
	saved = done;
	saved_user = user;
	if (!g->childless)
		(void)kill(-1, SIGKILL);
	enter(g, HALT_KILL, KILL_MS);
	return 0;
}
