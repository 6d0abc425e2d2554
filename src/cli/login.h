/* SPDX-License-Identifier: Apache-2.0
 *
 * login: sign-ins as commands need them: what the keeper has of them, and runs of sbx-login, which does the talking to others and hands
 * what it gets to the keeper: neither passwords nor tokens pass through here.
 */
#ifndef SBX_CLI_LOGIN_H
#define SBX_CLI_LOGIN_H

#include "cli/cmd.h"
#include "wire/logintalk.h"

/* All sign-ins, owned; without starting a keeper where there never was one. NULL with c->err. */
struct loginmsg_list *login_list(struct cli *c);
/* Removes one. */
int login_remove(struct cli *c, const char *name);

/* A connection to the keeper that is this login's from now on: for a new one, or (name) for one that is there. Negative with c->err. */
int login_begin(struct cli *c, const struct loginmsg_login *l);
int login_use(struct cli *c, const char *name);
/* Runs sbx-login with that connection; stdin_fd: where a password comes from, -1: nowhere. Shows the code and what else it says. 0, and
 * q->login is as it was stored; or negative with c->err. */
int login_run(struct cli *c, struct logintalk_request *q, int keeper_fd, int stdin_fd);

/* "HOST[:PORT]" as a user writes a registry. what: in the message. */
int login_registry(struct cli *c, const char *what, const char *s, struct dest *ret);
/* Waits until no other command renews or removes a sign-in: a descriptor, or negative with c->err. */
int login_lock(struct cli *c);

#endif
