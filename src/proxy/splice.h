/* SPDX-License-Identifier: Apache-2.0
 *
 * splice: relays bytes between two chans, each direction with its own end. Nothing is copied here: what the one side does not take, the
 * other keeps. Where both sides are to speak SSH, nothing of a side reaches the other before its identification (wire/sshident.h) is whole.
 */
#ifndef SBX_PROXY_SPLICE_H
#define SBX_PROXY_SPLICE_H

#include "proxy/chan.h"

#define SPLICE_IDLE_MS (60 * 60 * 1000)
#define SPLICE_HALF_MS (15 * 60 * 1000) /* the same where one direction has ended */
#define SPLICE_SSH_MS (60 * 1000)       /* for both identifications */

struct splice;
/* Over, both chans are gone. error: 0, -errno, -ETIMEDOUT where nothing moved for SPLICE_IDLE_MS (or SPLICE_HALF_MS), -EPROTO where it is not
 * SSH, or not in time. out, in: bytes to and from origin. */
typedef void splice_done(void *user, int error, uint64_t out, uint64_t in);

/* Owns both from here on, also on failure (NULL: out of memory). done is called once, from the loop. */
struct splice *splice_start(struct chan *guest, struct chan *origin, bool ssh, splice_done *done, void *user);
/* Resets both; done is not called, *ret_out and *ret_in are what it would have been told. */
void splice_cut(struct splice *s, uint64_t *ret_out, uint64_t *ret_in);

#endif
