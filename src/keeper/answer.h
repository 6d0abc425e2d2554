/* SPDX-License-Identifier: Apache-2.0
 *
 * answer: one request of one peer, and the reply to it. A peer that has attached is a sandbox's for good: it can ask for
 * leaves of this sandbox and for its secrets, and for nothing about any other. Only one that has not attached may change
 * secrets; nobody is told a value but by `inject`. Of sign-ins loginop.h tells.
 */
#ifndef SBX_KEEPER_ANSWER_H
#define SBX_KEEPER_ANSWER_H

#include "base/buf.h"
#include "keeper/ca.h"
#include "keeper/confine.h"
#include "keeper/grants.h"
#include "keeper/home.h"
#include "keeper/vault.h"
#include "wire/keepermsg.h"
#include "wire/loginmsg.h"

/* What every answer may need; borrowed. */
struct keeper {
	struct home home;
	struct confined confined;
	struct store *store;   /* owned */
	struct vault *vault;   /* owned */
	struct grants *grants; /* owned */
};

struct peer {
	struct ca *ca; /* owned; NULL: not attached */
	char sandbox[KEEPERMSG_ID];
	struct loginmsg_login *login; /* owned; NULL: no login's (loginop.h) */
	bool login_used;
	bool asked;                    /* something, since it was attached */
	uint64_t number;               /* attached: grants_number */
	struct oauthdef_list *services; /* owned; what the sandbox may sign in at; NULL: nothing */
};

void peer_done(const struct keeper *k, struct peer *p);

/* What others are to hear of. */
struct answer_news {
	bool forgot;  /* the CA of p->sandbox was deleted: p is not attached, and whoever is, to this sandbox, is to be let go of */
	bool secrets; /* they have changed: whoever is attached is to be told */
};

/* Appends the reply to out. Negative: no reply can be made, and the connection is to end. */
int answer(const struct keeper *k, struct peer *p, const struct buf *message, struct buf *out, struct answer_news *ret);

#endif
