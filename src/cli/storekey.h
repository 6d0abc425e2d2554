/* SPDX-License-Identifier: Apache-2.0
 *
 * storekey: how the keeper's secrets are kept (docs/secrets.md): asks the keeper, and takes keys from sbx-keyring to it.
 */
#ifndef SBX_CLI_STOREKEY_H
#define SBX_CLI_STOREKEY_H

#include "cli/cmd.h"
#include "wire/storemsg.h"

/* All return 0 or negative with c->err. */
int storekey_status(struct cli *c, struct storemsg_status *ret);
/* What can be done without asking: a store that is locked gets its key, one that nobody has decided about is encrypted, where there is a
 * Secret Service. That it cannot be done is no error: the next request says what is wrong. */
void storekey_prepare(struct cli *c);
/* The first half of it, for a program that is about to start: of secrets that stay locked the user is told. */
void storekey_fetch(struct cli *c);
/* In words: "encrypted, ...". */
void storekey_describe(const struct storemsg_status *s, char *dst, size_t size);
/* By the Secret Service, for which *s is locked. */
int storekey_unlock_service(struct cli *c, const struct storemsg_status *s);
/* By a passphrase; held in the kernel's keyring for so many seconds, 0: until the next reboot. */
int storekey_unlock_passphrase(struct cli *c, const struct storemsg_status *s, const char *pass, size_t n, uint64_t seconds);
int storekey_lock(struct cli *c, const struct storemsg_status *s);
int storekey_protect_service(struct cli *c);
int storekey_protect_passphrase(struct cli *c, const char *pass, size_t n);
int storekey_protect_none(struct cli *c);
int storekey_reset(struct cli *c);

#endif
