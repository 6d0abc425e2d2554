/* SPDX-License-Identifier: Apache-2.0
 *
 * loginop: requests about sign-ins (wire/loginmsg.h). A connection that has begun a login, or uses one, is this login's for good: it can
 * store its result, ask for the secrets of the one that it uses and for the credential of its registries, and nothing else, so that it can
 * be handed to sbx-login, which talks to strangers. Which registries a login has is said before, by the command line, not by sbx-login.
 */
#ifndef SBX_KEEPER_LOGINOP_H
#define SBX_KEEPER_LOGINOP_H

#include "keeper/answer.h"

/* 1: the message is about something else, and the connection is no login's. Else as answer. */
int loginop_answer(const struct keeper *k, struct peer *p, const struct buf *message, struct buf *out);

#endif
