/* SPDX-License-Identifier: Apache-2.0
 *
 * home: STATE/keeper/ca/ID.pem, one file per sandbox: its CA's key and certificate (STATE/keeper/secrets is vault's). Directories 0700, files 0600, ours,
 * written atomically; anything looser is refused, not repaired, as somebody may have read it.
 */
#ifndef SBX_KEEPER_HOME_H
#define SBX_KEEPER_HOME_H

#include <stdint.h>

#include "base/err.h"
#include "keeper/ca.h"

struct home {
	int fd; /* owned: STATE/keeper, the only place where files are opened later */
	int ca; /* owned: STATE/keeper/ca */
	char path[4096];
};

/* Makes and opens the directories. */
int home_open(struct home *h, const char *state_dir, struct err *err);
void home_close(struct home *h);

/* The sandbox's CA: made, with its file, where there is none; renewed where it is old. A file that is not what this
 * program writes is an error: it is never replaced. now: see ca_new. */
struct ca *home_ca(const struct home *h, const char *id, const int64_t *now, struct err *err);
/* Removes it; a missing one is no error. */
int home_forget(const struct home *h, const char *id, struct err *err);

#endif
