/* SPDX-License-Identifier: Apache-2.0
 *
 * env: where things are on this host. The only file that reads environment variables of ours.
 *
 *   state    $XDG_STATE_HOME/sbx    or ~/.local/state/sbx   registry, disks, logs; never deleted by us
 *   cache    $XDG_CACHE_HOME/sbx    or ~/.cache/sbx         templates; may be deleted at any time
 *   config   $XDG_CONFIG_HOME/sbx   or ~/.config/sbx        settings.json
 *   runtime  $XDG_RUNTIME_DIR/sbx   or STATE/run            sockets, locks
 *
 * A relative XDG value is ignored, as the XDG Base Directory Specification says.
 */
#ifndef SBX_BASE_ENV_H
#define SBX_BASE_ENV_H

#include "base/err.h"

struct env_dirs {
	char state[4096];
	char cache[4096];
	char config[4096];
	char runtime[4096];
};

/* Works out the four; makes none of them. */
int env_dirs(struct env_dirs *ret, struct err *err);
/* Makes one of them with mode 0700 (parents too) and proves that it can be written to; the error names it. */
int env_ensure(const char *dir, struct err *err);
/* getenv, NULL where unset or empty. */
const char *env_get(const char *name);
/* The directory of the running program (owned by the module). NULL where /proc is not there. */
const char *env_bindir(void);
/* BINDIR/NAME for one of our programs, BINDIR/../share/sbx/NAME for data; owned by the caller. */
char *env_program(const char *name);
char *env_data(const char *name);

#endif
