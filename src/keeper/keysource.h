/* SPDX-License-Identifier: Apache-2.0
 *
 * keysource: where the store's key comes from when the keeper starts: the Secret Service, or the kernel's keyring, which has that of a passphrase
 * that somebody gave since the last boot. Nobody is asked anything. Before confinement; takes a few seconds at most.
 */
#ifndef SBX_KEEPER_KEYSOURCE_H
#define SBX_KEEPER_KEYSOURCE_H

#include "keeper/store.h"

/* Unlocks it; or, where it was never decided how it is kept and there is a Secret Service, has it encrypted from now on. What does not
 * work leaves it as it is, locked with the reason. where: the state directory, for people. */
void keysource_apply(struct store *s, const char *where);

#endif
