/* SPDX-License-Identifier: Apache-2.0
 *
 * guest: PID 1 of a sandbox. It boots the machine up to an open control door, is told by /setup what to become, and then
 * runs sessions until /shutdown. One loop, one thread; only the setup, the end's unmounting and the file relay have
 * threads of their own.
 *
 *   GUEST_WAITING   the door is open, nothing of the sandbox exists; /setup leaves it
 *   GUEST_SETTING   the setup's thread works; sessions are refused
 *   GUEST_READY     sessions run
 *   GUEST_HALTING   /shutdown or a failed setup; ends with the power off, nothing leaves it
 */
#ifndef SBX_GUEST_GUEST_H
#define SBX_GUEST_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "guest/setup.h"

enum guest_state { GUEST_WAITING, GUEST_SETTING, GUEST_READY, GUEST_HALTING };

struct ctl;
struct netgate;
struct opens;
struct session;

struct guest {
	uv_loop_t loop;
	enum guest_state state;
	bool childless;           /* the last reaping found no child left */
	bool turning;             /* the thread of /quiesce or /wake works */
	bool quiet;               /* /quiesce came, and no /wake yet: no session starts, whose folder may not answer */
	struct setup setup;       /* filled before GUEST_SETTING; fixed from GUEST_READY on */
	struct ctl *ctl;          /* owned */
	struct netgate *net;      /* owned; NULL without a network */
	struct opens *opens;      /* owned; NULL where URLs cannot be opened */
	size_t nports;            /* streams of /port, see netport.h */
	struct session *sessions; /* list of all, see session.h */
	size_t nsessions;
	bool host_gone;           /* see sessions_host_gone */
	uint64_t session_turns;   /* counts attachments, so that the last one is known */
};

/* Never returns as PID 1. Under the name of a browser it is one (xdgopen.h); as anything else it says so and returns 2. */
int guest_main(int argc, char **argv);

#endif
