/* SPDX-License-Identifier: Apache-2.0
 *
 * forget: the keys of sandboxes that are gone go, too. The daemon holds no key and opens no key's file: it runs
 * `sbx-keeper --forget ID`, and only sees by a file's name whether there is anything to forget.
 */
#ifndef SBX_DAEMON_FORGET_H
#define SBX_DAEMON_FORGET_H

#include "daemon/daemon.h"

/* What cannot be forgotten is logged, and found again by forget_sweep at the daemon's next start. */
typedef void forget_done(void *user);

/* 1: there is nothing to forget (done is not called). 0: done will be called, once and later, after 10 s at most. */
int forget_ca(struct daemon *d, const char *id, forget_done *done, void *user);
/* Begins to forget what belongs to no sandbox of the registry. */
void forget_sweep(struct daemon *d, bool (*has_record)(void *user, const char *id), void *user);

#endif
