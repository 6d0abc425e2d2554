/* SPDX-License-Identifier: Apache-2.0
 *
 * layer: makes the template of an agent (docs/agents.md, "The layer"): a sandbox of its own that is never listed, in which
 * `sbx-image layer` installs and packs; the daemon itself reads no byte of it. One build per agent, which all callers share.
 * The sandbox is removed before the last word is said.
 */
#ifndef SBX_DAEMON_LAYER_H
#define SBX_DAEMON_LAYER_H

#include "base/err.h"
#include "daemon/audience.h"
#include "daemon/daemon.h"
#include "daemon/sandbox.h"

/* Joins the build of that agent's layer, or begins one. 1: there is nothing to make, and `line` is not called (no layer is
 * needed, or it is current and update is not asked for); negative with err. */
int layer_join(struct daemon *d, const char *agent, bool update, audience_line *line, void *user, struct err *err);
/* Ends all builds (the daemon stops); listeners are told. Their sandboxes are left to layer_sweep. */
void layer_cancel(struct daemon *d);
/* At the daemon's start: removes the sandboxes of builds that were killed. */
void layer_sweep(struct daemon *d);
/* Whether a sandbox is one of these. */
bool layer_owns(const struct sandbox *s);

#endif
