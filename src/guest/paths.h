/* SPDX-License-Identifier: Apache-2.0
 *
 * paths: where a workspace may be mounted in the guest, and the directories that lead there. The host names the
 * path; it still must not hide a part of the system that the guest lives from.
 */
#ifndef SBX_GUEST_PATHS_H
#define SBX_GUEST_PATHS_H

#include <stdbool.h>

#include "base/err.h"
#include "guest/users.h"

/* Absolute, at most 4095 bytes, no "", "." or ".." component, no system directory, not below /proc, /sys, /dev
 * or /run/sbx or /run/sbx-open. */
int paths_check_workspace(const char *path, struct err *err);
/* Whether path is dir or stands below it. */
bool paths_is_at_or_below(const char *path, const char *dir);
/* Makes what is missing of path, which passed paths_check_workspace: the parents and, as its last component, an empty
 * directory or file. New directories are root's with mode 0755, at or below owner's home the owner's; parents
 * that were there become searchable for all. */
int paths_make_mount_point(const char *path, bool file, const struct user *owner, struct err *err);

#endif
