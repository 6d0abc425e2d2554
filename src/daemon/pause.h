/* SPDX-License-Identifier: Apache-2.0
 *
 * pause: sandboxes whose machine is saved (vm/save.h). A paused one is a stopped one with a saved memory beside its disk:
 * STATE/sandboxes/<id>/saved. The next start goes on from it.
 */
#ifndef SBX_DAEMON_PAUSE_H
#define SBX_DAEMON_PAUSE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "daemon/sandbox.h"

/* Its machine is gone for sure: notes whether a complete one is there, and removes what a crash left of others. Negative where
 * that cannot be seen: then nothing is removed, and no machine may start from the disk alone. err may be NULL. */
int pause_look(struct sandbox *s, struct err *err);
/* Where it is; owned by the caller, NULL on -ENOMEM. */
char *pause_path(const struct sandbox *s);
/* Removes it; only of one that is STOPPED. */
int pause_discard(struct sandbox *s, struct err *err);

/* reply (borrowed) as of the supervisor's "save" (docs/api.md); NULL with err. Once, later, while the sandbox exists. */
typedef void pause_done(void *user, struct sandbox *s, const json_t *reply, const struct err *err);

/* Saves the machine of one that runs into a directory that is not there yet, with its disk; it goes on. */
enum pause_how { PAUSE_KEEP, PAUSE_FORK }; /* what is kept is on the disk when it is done; a fork starts at once */
int pause_save(struct sandbox *s, const char *into, enum pause_how how, pause_done *done, void *user, struct err *err);
/* Saves, and ends its machine; done when it is off. */
int pause_begin(struct sandbox *s, pause_done *done, void *user, struct err *err);

#endif
