/* SPDX-License-Identifier: Apache-2.0
 *
 * agents: the programs that a sandbox can be made for, as their profiles say (wire/profile.h, docs/agents.md): built-in
 * ones are data of the program, the user's own stand in CONFIG/agents and come first. Read anew at every use.
 */
#ifndef SBX_DAEMON_AGENTS_H
#define SBX_DAEMON_AGENTS_H

#include <jansson.h>

#include "base/env.h"
#include "base/err.h"

#define AGENTS_MAX 256

/* The profile of that name, with "source" (the file it comes from); owned. not_found with the known names, or what is
 * wrong with the file, its name and line. */
int agents_find(const struct env_dirs *dirs, const char *name, json_t **ret, struct err *err);
/* {"agents": [profiles, by name], "broken": [{"name", "file", "message"}]}; owned. */
int agents_list(const struct env_dirs *dirs, json_t **ret, struct err *err);

/* What a machine of that agent is given: {"env": {..}, "files": [{"path", "mode", "content"}]}, with the notes and all
 * names replaced; owned. workdir: the primary workspace. */
int agents_outfit(const json_t *profile, const char *workdir, json_t **ret, struct err *err);

#endif
