/* SPDX-License-Identifier: Apache-2.0
 *
 * keeper: requests to sbx-keeper about secrets (wire/secretmsg.h), straight from the command line: the daemon sees no value.
 */
#ifndef SBX_CLI_KEEPER_H
#define SBX_CLI_KEEPER_H

#include "cli/cmd.h"
#include "wire/secretmsg.h"
#include "wire/storemsg.h"

/* A connection, with a deadline for each reply; starts a keeper where none runs. Owned; negative with c->err. */
int keeper_connect(struct cli *c);
/* One request on such a connection. out is wiped and released; r: of its encoding; reply has KEEPERMSG_MAX_BYTES. The reply's bytes, or
 * negative with c->err; a negative fd, whose error is there already, is given back. */
ssize_t keeper_exchange(struct cli *c, int fd, struct buf *out, int r, char *reply);

/* Sets or removes. 0 or negative with c->err. */
int keeper_change(struct cli *c, const struct secretmsg_request *q);
/* About how they are kept; ret is filled for STOREMSG_STATUS, else NULL. 0 or negative with c->err. */
int keeper_store(struct cli *c, const struct storemsg_request *q, struct storemsg_status *ret);
/* Whether the keeper has a document of that name (keeper/store.h). */
bool keeper_holds(const struct cli *c, const char *document);
/* Whether secrets, or what a sign-in gave, were ever stored. */
bool keeper_has_any(const struct cli *c);
/* All secrets, owned; without starting a keeper where no secret was ever stored. NULL with c->err. */
struct secretmsg_list *keeper_list(struct cli *c);

/* Adds the sign-ins that programs in sandboxes have made; 0 or negative with c->err. */
int keeper_add_grants(struct cli *c, struct secretmsg_list *l);
/* The sandbox's sign-in becomes one for all sandboxes. */
int keeper_share(struct cli *c, const char *service, const char *sandbox_id);

/* Adds the placeholders of the secrets that are in force for a sandbox (name or id) to its program's variables {NAME: VALUE}; those
 * that are there already stay. */
int keeper_env(struct cli *c, const char *sandbox, json_t *env);

#endif
