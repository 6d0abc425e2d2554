/* SPDX-License-Identifier: Apache-2.0
 *
 * quiet: the guest's part of being saved and woken up. /quiesce brings everything to rest that crosses the file door, and the
 * disk up to date; from its answer to /wake no session starts. /wake makes the machine another one than the one that was
 * saved: time, random numbers, names; and its doors go on or begin anew.
 */
#ifndef SBX_GUEST_QUIET_H
#define SBX_GUEST_QUIET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "guest/setup.h"

struct quiet_wake {
	struct setup who; /* time, entropy, hostname, machine_id; nothing else */
	bool again;       /* another machine than the one that was quiesced: the doors' hosts are others */
	char nonce[129];  /* filled by quiet_wake */
	uint64_t ino[SETUP_WORKSPACES_MAX];
};

/* Blocks up to about 15 s: for a thread. After a failure everything goes on. */
int quiet_begin(const struct setup *s, struct err *err);
/* {"time_ns", "entropy", "again", "hostname", "machine_id"} */
int quiet_parse(const void *json, size_t n, struct quiet_wake *ret, struct err *err);
/* Blocks until the file door answers: for a thread. */
int quiet_wake(const struct setup *s, struct quiet_wake *w, struct err *err);
/* The answer's JSON, owned by the caller; NULL on -ENOMEM. */
char *quiet_reply(const struct setup *s, const struct quiet_wake *w, size_t detached);

#endif
