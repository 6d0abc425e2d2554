/* SPDX-License-Identifier: Apache-2.0
 *
 * answer: one request of one peer, and the reply to it. A peer that has attached is a sandbox's for good: it can ask for
 * leaves of this sandbox and for nothing else about any.
 */
#ifndef SBX_KEEPER_ANSWER_H
#define SBX_KEEPER_ANSWER_H

#include "base/buf.h"
#include "keeper/ca.h"
#include "keeper/confine.h"
#include "keeper/home.h"
#include "wire/keepermsg.h"

/* What every answer may need; borrowed. */
struct keeper {
	struct home home;
	struct confined confined;
};

struct peer {
	struct ca *ca; /* owned; NULL: not attached */
	char sandbox[KEEPERMSG_ID];
};

void peer_done(struct peer *p);

/* Appends the reply to out. *ret_forgot becomes whether the CA of p->sandbox was deleted: p is not attached then, and
 * whoever is, to this sandbox, is to be let go of. Negative: no reply can be made, and the connection is to end. */
int answer(const struct keeper *k, struct peer *p, const struct buf *message, struct buf *out, bool *ret_forgot);

#endif
