/* SPDX-License-Identifier: Apache-2.0
 *
 * field: strict reading of JSON objects that a client or a settings file gave. Every error names the key, what it must
 * be, and nothing is ignored: a key that is not in the list is an error. An absent optional key leaves *ret alone.
 */
#ifndef SBX_DAEMON_FIELD_H
#define SBX_DAEMON_FIELD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* keys: NULL-terminated. what: "the request", "workspaces[1]"; begins each message. */
int field_only(const json_t *object, const char *what, const char *const *keys, struct err *err);
/* Strings are borrowed from the object. A required one that is absent or empty is an error. */
int field_string(const json_t *object, const char *key, bool required, const char **ret, struct err *err);
int field_u64(const json_t *object, const char *key, uint64_t min, uint64_t max, uint64_t *ret, struct err *err);
int field_bool(const json_t *object, const char *key, bool required, bool *ret, struct err *err);

/* {"kind", "message"} of an err; a message that is not UTF-8 is escaped. A new reference, NULL on -ENOMEM. */
json_t *field_error(const struct err *err);

#endif
