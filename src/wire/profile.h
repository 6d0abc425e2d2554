/* SPDX-License-Identifier: Apache-2.0
 *
 * profile: what an agent is, as a YAML file says it (docs/agents.md). Text becomes a JSON object in which everything
 * was checked:
 *
 *   {"name", "description", "command": [..], "install": {"npm": [..], "script", "user"} or absent, "version": [..],
 *    "env": {..}, "files": [{"path": "~/..", "mode": "0644", "content", "oauth": ".." or absent}], "notes": "~/.." or absent, "secrets": [..],
 *    "hosts": [..], "memory_mib": N (0: none), "oauth": [DEF of oauthdef.h]}
 *
 * No I/O.
 */
#ifndef SBX_WIRE_PROFILE_H
#define SBX_WIRE_PROFILE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define PROFILE_MAX_BYTES (128U << 10)
#define PROFILE_NAME_SIZE 32

/* n bytes of a file that is called name + ".yaml". 0 and *ret (owned), or ERR_INVALID and "line N: ..."; -ENOMEM. */
int profile_parse(const char *text, size_t n, const char *name, json_t **ret, struct err *err);
/* Whether an agent may have that name: also what keeps a name from being a path. */
bool profile_name_ok(const char *s);
/* A text of a profile with ${WORKDIR} and ${HOME} replaced; quoted: as inside a JSON string. A new reference; NULL where
 * there is no memory, or a path is not UTF-8. */
json_t *profile_expand(const char *text, const char *workdir, const char *home, bool quoted);

#endif
