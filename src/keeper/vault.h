/* SPDX-License-Identifier: Apache-2.0
 *
 * vault: the secrets: the document STORE_SECRETS of the store, replaced at each change, and its index, which has everything but the
 * values. While the store is locked the index says what there is and where it is bound (so that the proxy refuses what it cannot fill in); nothing
 * can be set or injected then. A document that is not what this program writes is an error of every call, and is never replaced.
 */
#ifndef SBX_KEEPER_VAULT_H
#define SBX_KEEPER_VAULT_H

#include "base/err.h"
#include "keeper/store.h"
#include "wire/secretmsg.h"

struct vault;

/* store is borrowed for the vault's life. NULL: no memory. */
struct vault *vault_open(struct store *store);
void vault_free(struct vault *v);

/* One secret of a name and scope, new or in place of the old. */
int vault_set(struct vault *v, const struct secretmsg_secret *s, const struct secret *value, struct err *err);
int vault_remove(struct vault *v, const char *name, const char *sandbox, struct err *err);
/* All of one sandbox's own; *ret_any: whether there were any. While the store is locked they go when it is unlocked. */
int vault_forget(struct vault *v, const char *sandbox, bool *ret_any, struct err *err);
/* Everything; or, where sandbox is given, what is in force for it: its own, and of those for all the ones whose name it has none of. */
int vault_list(struct vault *v, const char *sandbox, struct secretmsg_list *ret, struct err *err);
/* What a request of a sandbox gets: of several secrets that are bound to where it goes, the one whose placeholder it brings; else the sandbox's own before those
 * for all, and of these the first that was set. Wipe it. */
int vault_inject(struct vault *v, const char *sandbox, const struct secretmsg_request *asked, struct secretmsg_injection *ret,
		 struct err *err);

/* Reads again what the store may say otherwise by now, and wipes what it no longer gives. Every call above does. */
int vault_sync(struct vault *v, struct err *err);

#endif
