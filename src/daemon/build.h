/* SPDX-License-Identifier: Apache-2.0
 *
 * build: the one run of `sbx-image ensure base --json` that all callers share. Its lines of progress go to everybody
 * who has joined; its last word ends it.
 */
#ifndef SBX_DAEMON_BUILD_H
#define SBX_DAEMON_BUILD_H

#include "base/err.h"
#include "daemon/audience.h"
#include "daemon/daemon.h"

/* 1: there is nothing to do, and line is not called; so it is while sbx-image, the manifest and what it names are what they were when
 * sbx-image last said so. Else joins the running build, or starts one; not on a host where no sandbox can be (host.h): that error is said at once. */
int build_join(struct daemon *d, audience_line *line, void *user, struct err *err);
/* Ends the build (the daemon stops); listeners are told. */
void build_cancel(struct daemon *d);

#endif
