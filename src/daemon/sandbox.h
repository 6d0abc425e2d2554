/* SPDX-License-Identifier: Apache-2.0
 *
 * sandbox: one sandbox as the daemon knows it: its record and, while its supervisor lives, what the watch says.
 *
 *   state     valid                       enters by                          leaves by
 *   STOPPED   nothing but the row         the supervisor is gone for sure    sandbox_start -> STARTING
 *   STARTING  watch, boot deadline        spawned, or adopted while booting  running, stopping, failed, gone
 *   RUNNING   watch                       the supervisor said so             stopping, gone
 *   STOPPING  watch or settling, deadline stop asked or seen, watch ended    gone -> STOPPED (or STARTING again)
 *   LOST      nothing                     at adoption: alive, no socket      sandbox_stop, gone
 *
 * "Gone for sure": the supervisor holds a lock on vm.log (its stderr) for its life, so that two machines never share
 * a disk, whatever happened to sockets and to us.
 *
 * Callbacks given to sandbox_start and sandbox_stop run exactly once, never inside the call that took them, and only
 * while the sandbox exists.
 */
#ifndef SBX_DAEMON_SANDBOX_H
#define SBX_DAEMON_SANDBOX_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"
#include "daemon/daemon.h"
#include "daemon/store.h"
#include "daemon/vmlink.h"

/* How many callers may wait for one start or stop. */
#define SANDBOX_WAITERS_MAX 64
#define SANDBOX_STOP_MS 10000
#define SANDBOX_SAVED "saved" /* in its directory: what a paused one goes on from (vm/save.h) */

enum sandbox_state { SANDBOX_STOPPED, SANDBOX_STARTING, SANDBOX_RUNNING, SANDBOX_STOPPING, SANDBOX_LOST };

/* err NULL: it runs (start), it is off (stop). */
typedef void sandbox_done(void *user, struct sandbox *s, const struct err *err);

struct sandbox_wait {
	sandbox_done *done;
	void *user;
};

struct sandbox_waits {
	struct sandbox_wait list[SANDBOX_WAITERS_MAX];
	size_t n;
};

struct sandbox {
	struct sandbox *next;  /* list of the daemon */
	struct daemon *daemon; /* borrowed */
	struct store_row row;  /* owned */
	enum sandbox_state state;
	struct vmlink *watch; /* owned */
	uv_timer_t timer;     /* boot deadline, stop deadline or the next look at the lock */
	uint64_t settle_until_ms, settle_step_ms; /* how long it may take to end, and when to look again */
	bool killed;      /* a kill was tried since the watch ended or the deadline passed */
	bool start_again; /* starters wait for the end of the present machine */
	bool silent;      /* adopted, and has not said a word yet */
	bool stop_asked;  /* somebody asked for the stop: its end is not a crash */
	bool removing;    /* DELETE under way: no start any more */
	bool paused;      /* STOPPED: its memory is saved, and the next start goes on from it (pause.h) */
	bool resumed;     /* RUNNING: it did */
	bool copying;     /* its disk is copied or replaced: no start, no removal (checkpoint.h, fork.h) */
	bool publishing;  /* a change of the published ports is under way */
	unsigned sessions;
	char accel[16];        /* "" unknown */
	struct err last_error; /* why the last start failed or the machine died; ERR_NONE: all well */
	struct sandbox_waits starters, stoppers;
};

/* Takes the row over (moves out of it). NULL on -ENOMEM. Joins the daemon's list. */
struct sandbox *sandbox_new(struct daemon *d, struct store_row *row);
/* Forgets it (the registry is not touched); no callback of its waiters runs. The memory goes later, from the loop. */
void sandbox_free(struct sandbox *s);
/* By name or id; NULL with `sandbox 'x' not found`. */
struct sandbox *sandbox_find(struct daemon *d, const char *name, struct err *err);

/* At daemon start: finds its supervisor again, or sees that there is none. */
void sandbox_adopt(struct sandbox *s);

/* 1: runs already (done is not called); 0: done will be called; negative with err. */
int sandbox_start(struct sandbox *s, sandbox_done *done, void *user, struct err *err);
/* done when its machine has ended by itself, which it is about to; 1: it has. */
int sandbox_await_end(struct sandbox *s, sandbox_done *done, void *user, struct err *err);
/* 1: is off already. */
int sandbox_stop(struct sandbox *s, uint64_t timeout_ms, sandbox_done *done, void *user, struct err *err);
/* The same before a removal by force: programs are killed, and the disk is left as it happens to be. */
int sandbox_throw_away(struct sandbox *s, sandbox_done *done, void *user, struct err *err);
/* Disk and record go; only when STOPPED. Frees s on success. */
int sandbox_remove(struct sandbox *s, struct err *err);
/* Remembers keep, and tells the machine if it runs. */
int sandbox_keep(struct sandbox *s, bool keep, struct err *err);

/* A call to its supervisor; borrows s until it is made. */
struct vmlink_call sandbox_call(const struct sandbox *s, json_t *request, uint64_t timeout_ms);
const char *sandbox_status(const struct sandbox *s);
/* As docs/api.md shows it; full adds env and template. A new reference, NULL on -ENOMEM. */
json_t *sandbox_json(const struct sandbox *s, bool full);

#endif
