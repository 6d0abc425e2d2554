/* SPDX-License-Identifier: Apache-2.0
 *
 * calls: the requests of the control door that are one question and one answer: POST /setup, /shutdown, /health.
 */
#ifndef SBX_GUEST_CALLS_H
#define SBX_GUEST_CALLS_H

#include "guest/ctl.h"

/* The operation for a request that arrived; owns itself until its `closed`. An unknown path is answered with 404. NULL on
 * -ENOMEM. */
struct ctl_stream *calls_new(struct guest *g, struct h2_stream *s, const struct h2_head *head);

#endif
