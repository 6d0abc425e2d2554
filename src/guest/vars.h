/* SPDX-License-Identifier: Apache-2.0
 *
 * vars: an environment, as execve(2) wants it. Setting a name again replaces it: the last one wins.
 */
#ifndef SBX_GUEST_VARS_H
#define SBX_GUEST_VARS_H

#include <jansson.h>
#include <stddef.h>

#include "base/err.h"

#define VARS_MAX 4096
#define VARS_MAX_BYTES (1024 * 1024)

struct vars {
	char **list; /* owned "NAME=value" strings, NULL-terminated; NULL while empty */
	size_t n, cap, bytes;
};

void vars_done(struct vars *v);
/* -EINVAL: not a name (empty, or with '='); -E2BIG: past a maximum; -ENOMEM. Unchanged on failure. */
int vars_set(struct vars *v, const char *name, const char *value);
/* Borrowed, NULL where not set. */
const char *vars_get(const struct vars *v, const char *name);
/* Sets all of from in v. */
int vars_merge(struct vars *v, const struct vars *from);
/* Sets all members of a JSON object of strings; NULL is an empty object. */
int vars_from_json(struct vars *v, const json_t *object, struct err *err);

#endif
