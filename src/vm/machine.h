/* SPDX-License-Identifier: Apache-2.0
 *
 * machine: one machine's life, from the spec to its end.
 *
 *   state     enters by                       valid                          leaves by
 *   STARTING  machine_run                     what boot.c has made so far    boot finished, boot failed, stop
 *   RUNNING   boot finished                   door, qmp, both processes      stop, last session + grace, guest's end
 *   STOPPING  machine_stop                    both processes                 QEMU's end (forced after a deadline)
 *   STOPPED   QEMU ended                      nothing                        the loop ends when clients have drained
 *   FAILED    boot failed (error is set)      nothing                        as STOPPED
 *
 * Clients (client.c) hang in a list; boot.c drives STARTING; this file owns the transitions and the timers.
 */
#ifndef SBX_VM_MACHINE_H
#define SBX_VM_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"
#include "vm/accel.h"
#include "vm/console.h"
#include "vm/door.h"
#include "vm/frozenlink.h"
#include "vm/fsdoor.h"
#include "vm/netdoor.h"
#include "vm/opens.h"
#include "vm/ports.h"
#include "vm/qemu.h"
#include "vm/qmp.h"
#include "vm/spec.h"
#include "vm/times.h"

enum machine_state { MACHINE_STARTING, MACHINE_RUNNING, MACHINE_STOPPING, MACHINE_STOPPED, MACHINE_FAILED };

struct client;
struct save;
struct resume;

struct machine {
	uv_loop_t *loop;         /* borrowed */
	const struct spec *spec; /* borrowed */
	enum machine_state state;
	struct accel accel;
	struct err error;   /* FAILED: why; RUNNING: what does not work any more (kind NONE: all well) */
	char release[128];  /* the guest's kernel, escaped */
	char started_at[32]; /* RFC 3339 */
	bool greeted;       /* the guest has answered for the first time */
	bool tried_again;   /* the machine ended before that, and was started once more */
	bool cold;          /* boots: it was asked to, or thawing did not work */
	bool thawing;       /* QEMU was started from a frozen machine, and the guest has not answered yet */
	bool warm;          /* the machine that runs was thawed */
	int state_number;   /* of the devices' state in QEMU, where it is resumed */
	bool plugged;       /* QEMU was told of its disks */
	bool asked;         /* the guest was given /setup */
	bool resumed;       /* it goes on from where it was saved */
	bool paused;        /* STOPPED: it was saved, and can be resumed */
	bool stop_wanted;   /* as soon as it has been saved */
	uint64_t stop_wanted_ms;
	struct times times; /* of the start */
	const char *phase;  /* what the start is waiting for; literal */
	bool keep;
	size_t sessions;
	size_t detached; /* sessions in the guest without a client, as it said last: they keep the machine, too */
	uint64_t stop_timeout_ms;

	struct qemu qemu;
	struct fsdoor fs;
	struct save *save;     /* owned; while it is saved */
	struct resume *resume; /* owned; while it is resumed */
	struct frozenlink *frozen;                    /* owned; while a frozen machine is asked for */
	struct qmp *qmp;                              /* owned; NULL when over */
	struct door *door;                            /* owned; NULL when over */
	struct netdoor *net;                          /* owned; NULL when over */
	struct opens *opens;                          /* owned; while it runs */
	struct ports *ports;                          /* owned; from before the start to the stop */
	struct console *console, *qemu_err, *fs_err;  /* owned */
	uv_poll_t *qemu_exit, *fs_exit;               /* owned, watch the pidfds */
	uv_timer_t boot_timer, grace_timer, stop_timer, idle_timer, helpers_timer;
	uv_poll_t listener;
	int listen_fd;
	struct client *clients; /* owned */
	size_t nclients;
	bool met; /* somebody has connected: whoever started us wants to hear how it ended */
};

/* Runs until the machine has ended and its clients have been told. listen_fd is owned from here on. */
int machine_run(uv_loop_t *loop, const struct spec *spec, int listen_fd);

/* Orderly: the guest is asked, then QEMU, then killed; the three share timeout_ms. Idempotent. */
void machine_stop(struct machine *m, uint64_t timeout_ms);
/* The same for a machine whose disk nobody wants any more: programs are killed, what they wrote to workspaces is waited for, and
 * QEMU is killed. */
void machine_throw_away(struct machine *m);
/* boot.c: the machine runs / cannot be started (err is copied). */
void machine_started(struct machine *m);
void machine_failed(struct machine *m, const struct err *err);
/* boot.c: throws away a start that did not work, before another try. */
void machine_discard(struct machine *m);
/* boot.c: watches a process whose pidfd is in m->fs (where there is one) or m->qemu. 0 or -errno. */
int machine_watch_fs(struct machine *m);
int machine_watch_qemu(struct machine *m);
/* save.c: what was under way is over, whatever came of it, or goes on without the guest. */
void machine_saved(struct machine *m);
/* save.c: everything is saved, the machine is to end as it stands. */
void machine_paused(struct machine *m);
/* client.c: the last client is gone. */
void machine_drained(struct machine *m);
/* client.c: the number of sessions changed. */
void machine_sessions(struct machine *m, int change);
/* state, phase, sessions, accel, pids... for watchers and status; a new reference. */
json_t *machine_describe(const struct machine *m);

#endif
