/* SPDX-License-Identifier: Apache-2.0
 *
 * build: the one run of `sbx-image ensure base --json` that all callers share. Its lines of progress go to everybody
 * who has joined; its last word ends it.
 */
#ifndef SBX_DAEMON_BUILD_H
#define SBX_DAEMON_BUILD_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "daemon/daemon.h"

#define BUILD_LISTENERS_MAX 64

/* Called with one JSON object per line (borrowed); last: the result or the error, after which nothing follows. Never
 * inside build_join. */
typedef void build_line(void *user, const json_t *line, bool last);

/* Joins the running build, or starts one; not on a host where no sandbox can be (host.h): that error is said at once. */
int build_join(struct daemon *d, build_line *line, void *user, struct err *err);
/* Ends the build (the daemon stops); listeners are told. */
void build_cancel(struct daemon *d);

#endif
