/* SPDX-License-Identifier: Apache-2.0
 *
 * store: STATE/keeper/secrets: named documents, replaced atomically, encrypted where there is a key (docs/secrets.md, "Where the value
 * is"). Files 0600 in 0700; whatever is looser is refused.
 *
 *   key.json         how the store's key is kept, and the store's key under that key (wire/storemsg.h); missing: undecided
 *   NAME.enc         a document under the store's key (keeper/box.h, its purpose is its name)
 *   NAME.json        a document that is not encrypted
 *   NAME.index.json  what of a document may be known while it is locked; its owner's business, never encrypted
 *
 * States:
 *   plain     undecided, or none by choice: .json; a .enc that is there is an error
 *   unlocked  .enc; a .json is taken into it, overwritten and removed
 *   locked    there is a key, and it is not here: reading and writing are errors (ERR_UNAVAILABLE) that say why and what to do
 *   broken    key.json is not what this program writes, or missing where something is encrypted: as locked, and only a reset helps
 *
 * A document that cannot be read is an error and never taken for empty: it is not replaced unless its owner, who must have read it
 * before, writes it. Whoever keeps a document in memory looks at store_generation before each use, and reads again where it changed.
 */
#ifndef SBX_KEEPER_STORE_H
#define SBX_KEEPER_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "keeper/box.h"
#include "wire/storemsg.h"

/* The documents that there can be. A new one gets a line in store.c. */
#define STORE_SECRETS "secrets"
#define STORE_GRANTS "grants"
#define STORE_LOGINS "logins"

struct store;

/* topfd: STATE/keeper, borrowed for the call. Before confinement, after ca_setup. It is locked where it has a key. NULL with err where
 * the directory is not ours alone. */
struct store *store_open(int topfd, struct err *err);
void store_free(struct store *s);

/* -ENOENT, err untouched: never written. Another negative: err. */
int store_read(struct store *s, const char *name, struct box_bytes *ret, struct err *err);
int store_write(struct store *s, const char *name, const void *text, size_t n, struct err *err);
/* Whether there is a document of that name, readable or not. */
bool store_holds(const struct store *s, const char *name);
/* The index, in every state. */
int store_read_index(const struct store *s, const char *name, struct box_bytes *ret, struct err *err);
int store_write_index(const struct store *s, const char *name, const void *text, size_t n, struct err *err);

/* Another number whenever what store_read would say may have changed by other means than store_write. */
uint64_t store_generation(const struct store *s);
/* Locked or broken; 0 otherwise. The negative number, and err, are those of store_read. */
int store_check(const struct store *s, struct err *err);
bool store_encrypts(const struct store *s); /* unlocked or locked */

/* ERR_DENIED: it is another key. expires_s: of CLOCK_BOOTTIME, 0: never. */
int store_unlock(struct store *s, const uint8_t key[STOREMSG_KEY], uint64_t expires_s, struct err *err);
/* Forgets the key. why: shown in the errors from now on. */
void store_lock(struct store *s, const char *why);
/* Another way of keeping the key; needs a store that is not locked. What was plain is encrypted, or with STOREMSG_NONE the reverse. */
int store_protect(struct store *s, const struct storemsg_lock *by, const uint8_t key[STOREMSG_KEY], struct err *err);
/* Removes everything, readable or not; undecided then. */
int store_reset(struct store *s, struct err *err);
void store_status(const struct store *s, struct storemsg_status *ret);
/* Locks it where its time is over. Milliseconds until then, at least 1; -1: no end. */
int store_tick(struct store *s);

#endif
