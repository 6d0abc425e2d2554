/* SPDX-License-Identifier: Apache-2.0
 *
 * logins: the store's document of sign-ins (wire/loginmsg.h): {"v":1,"logins":[{"login":LOGIN,"secrets":SECRETS}]}. It is read each
 * time: they are few and seldom asked for. One login per issuer, one per registry's password, and no registry in two of them.
 */
#ifndef SBX_KEEPER_LOGINS_H
#define SBX_KEEPER_LOGINS_H

#include "keeper/store.h"
#include "wire/loginmsg.h"

/* All negative with err; -ENOENT, ERR_NOT_FOUND: there is no such login. */
int logins_list(struct store *s, struct loginmsg_list *ret, struct err *err);
/* Whether l may be signed in to: ERR_CONFLICT where a registry of it is another login's, ERR_UNAVAILABLE where there is no room. */
int logins_check(struct store *s, const struct loginmsg_login *l, struct err *err);
int logins_find(struct store *s, const char *name, struct loginmsg_login *ret, struct err *err);
/* New, or in place of one of its name; must_exist: the latter only. */
int logins_put(struct store *s, const struct loginmsg_login *l, const struct loginmsg_secrets *secrets, bool must_exist,
	       struct err *err);
int logins_remove(struct store *s, const char *name, struct err *err);
int logins_secrets(struct store *s, const char *name, struct loginmsg_secrets *ret, struct err *err);
/* What a request to a registry is to carry. Wipe it. */
int logins_credential(struct store *s, const struct dest *registry, struct loginmsg_credential *ret, struct err *err);

#endif
