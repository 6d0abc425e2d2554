/* SPDX-License-Identifier: Apache-2.0
 *
 * halt: the end of the machine, within about 8 s whatever hangs:
 *
 *   HALT_TERM    TERM (and HUP, which shells heed) to all processes; leaves when none is left, or after 5 s
 *   HALT_KILL    KILL to all; leaves when none is left, or after 0.5 s
 *   HALT_FLUSH   the sessions' last records go out; leaves when nothing waits, or after 0.5 s
 *   HALT_UNMOUNT root_teardown on a thread; leaves when done, or 8 s after the start
 *   then the power goes off.
 *
 * A machine whose disk is thrown away ends without all that: HALT_KILL, then HALT_SAVE, in which what the programs wrote
 * into workspaces through mapped pages goes to the host; then the host ends it.
 */
#ifndef SBX_GUEST_HALT_H
#define SBX_GUEST_HALT_H

#include "guest/guest.h"

/* Begins; a second call does nothing. */
void halt_start(struct guest *g);
typedef void halt_done(void *user);
/* Begins the end of a machine whose disk is thrown away; done, from the loop, once no program is left and what they wrote
 * into workspaces is the host's. -EBUSY: it is not set up, or it ends already. */
int halt_discard(struct guest *g, halt_done *done, void *user);
/* Something changed that a phase may wait for: a child was reaped, or the control door has nothing more to send. */
void halt_poke(struct guest *g);
/* Power off at once. */
void halt_now(void) __attribute__((noreturn));

#endif
