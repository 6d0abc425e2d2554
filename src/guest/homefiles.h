/* SPDX-License-Identifier: Apache-2.0
 *
 * homefiles: files that the agent finds in its home folder, written once in a sandbox's life, before any of its programs
 * runs and before a workspace is mounted, by a process of the agent's own user: whatever the image has in their way, nothing
 * is reached that this user could not write to.
 */
#ifndef SBX_GUEST_HOMEFILES_H
#define SBX_GUEST_HOMEFILES_H

#include <jansson.h>

#include "base/err.h"
#include "guest/users.h"

#define HOMEFILES_MAX 64

/* Whether list is null or [{"path": relative, "mode": octal text, "content"}] that can be written: 0 or ERR_INVALID. */
int homefiles_check(const json_t *list, struct err *err);
/* Writes them all (checked; NULL: none). Blocks for up to 20 s. */
int homefiles_write(const json_t *list, const struct user *agent, struct err *err);

#endif
