/* SPDX-License-Identifier: Apache-2.0
 *
 * layer: the part of an agent's layer that touches what a guest says (docs/agents.md, "The layer"): installs in a running
 * sandbox, has the sandbox pack what changed, and stores the bytes as they come, unread, but for their number and digest.
 */
#ifndef SBX_IMAGE_LAYER_H
#define SBX_IMAGE_LAYER_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "image/progress.h"

#define LAYER_STEPS 5 /* the first is the daemon's: the sandbox starts */
#define LAYER_MAX_BYTES (4ULL << 30)

struct layer_result {
	char manifest[4096]; /* the path */
	bool built;
	json_t *tail; /* owned: the last lines of an installation that failed; NULL */
};

/* job: {"agent", "install", "version", "socket", "base", "update", "have"}, as the daemon writes it. */
int layer_make(const char *cache_dir, const json_t *job, struct progress *p, struct layer_result *ret, struct err *err);

#endif
