/* SPDX-License-Identifier: Apache-2.0
 *
 * fork: a new sandbox that goes on from where another one stands, with an id, a name, a machine-id and a CA of its own, the same
 * workspaces and rules, and no published ports.
 */
#ifndef SBX_DAEMON_FORK_H
#define SBX_DAEMON_FORK_H

#include "daemon/pause.h"

/* done with the new sandbox, which is paused (or stopped, where the other one is), to be started. reply as of checkpoint_make. */
int fork_begin(struct sandbox *s, const char *name, pause_done *done, void *user, struct err *err);

#endif
