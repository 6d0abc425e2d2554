/* SPDX-License-Identifier: Apache-2.0
 *
 * signin: requests about sign-ins inside sandboxes (wire/oauthmsg.h). What a sandbox may sign in at is said once, by whoever attached, before he
 * hands the connection to a proxy: a proxy that was taken over can neither change nor add to it.
 */
#ifndef SBX_KEEPER_SIGNIN_H
#define SBX_KEEPER_SIGNIN_H

#include "keeper/answer.h"

/* 1: the message is about something else; else as answer(). first: nothing was asked since the connection was attached. */
int signin_answer(const struct keeper *k, struct peer *p, bool first, const struct buf *message, struct buf *out, struct answer_news *ret);

#endif
