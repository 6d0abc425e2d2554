/* SPDX-License-Identifier: Apache-2.0
 *
 * vault: STATE/keeper/secrets/secrets.json: the secrets, 0600 in 0700, replaced atomically at each change; a file that is looser, or not
 * what this program writes, is refused and never replaced. It is not encrypted: what protects it is whose it is (docs/secrets.md).
 */
#ifndef SBX_KEEPER_VAULT_H
#define SBX_KEEPER_VAULT_H

#include "base/err.h"
#include "wire/secretmsg.h"

struct vault;

/* topfd: STATE/keeper, borrowed for the call. NULL with err. */
struct vault *vault_open(int topfd, struct err *err);
void vault_free(struct vault *v);

/* One secret of a name and scope, new or in place of the old. */
int vault_set(struct vault *v, const struct secretmsg_secret *s, const struct secret *value, struct err *err);
int vault_remove(struct vault *v, const char *name, const char *sandbox, struct err *err);
/* All of one sandbox's own; *ret_any: whether there were any. */
int vault_forget(struct vault *v, const char *sandbox, bool *ret_any, struct err *err);
/* Everything; or, where sandbox is given, what is in force for it: its own, and of those for all the ones whose name it has none of. */
void vault_list(const struct vault *v, const char *sandbox, struct secretmsg_list *ret);
/* What a request of a sandbox gets. Wipe it. */
int vault_inject(const struct vault *v, const char *sandbox, const struct dest *to, const char *path, struct secretmsg_injection *ret,
		 struct err *err);

#endif
