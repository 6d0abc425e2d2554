/* SPDX-License-Identifier: Apache-2.0
 *
 * checkpoint: a sandbox as it stood at one moment, memory and disk, kept under a tag: STATE/sandboxes/<id>/checkpoints/<tag>,
 * which holds what a paused one has (pause.h) and disk.img. It never changes. Workspaces are not part of it.
 */
#ifndef SBX_DAEMON_CHECKPOINT_H
#define SBX_DAEMON_CHECKPOINT_H

#include "daemon/pause.h"

#define CHECKPOINT_TAG_SIZE 64
#define CHECKPOINT_MAX 64 /* of one sandbox */

/* tag NULL: the time. reply (borrowed) is {"tag", "disk": {"shared", "bytes", "ms"}, ...}. */
int checkpoint_make(struct sandbox *s, const char *tag, pause_done *done, void *user, struct err *err);
/* [{"tag", "created_at", "bytes"}], the oldest first; a new reference, NULL on -ENOMEM. */
json_t *checkpoint_list(const struct sandbox *s);
/* -ENOENT: there is none, and err lists those that there are. */
int checkpoint_remove(struct sandbox *s, const char *tag, struct err *err);
/* Puts disk and memory back; done when it is a paused one, to be started. It runs, and is what it is, until they are there. */
int checkpoint_restore(struct sandbox *s, const char *tag, pause_done *done, void *user, struct err *err);

#endif
