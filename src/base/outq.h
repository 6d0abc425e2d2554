/* SPDX-License-Identifier: Apache-2.0
 *
 * outq: bytes that wait to be sent by a pump. What was pulled stays where it is until the next pull, however much
 * is appended meanwhile; both halves are bounded by the maximum given at creation.
 */
#ifndef SBX_BASE_OUTQ_H
#define SBX_BASE_OUTQ_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct outq {
	struct buf queued;
	struct buf sending; /* pulled; untouched until the next pull */
};

void outq_init(struct outq *q, size_t max_bytes);
void outq_done(struct outq *q);
/* Bytes queued and not yet pulled. */
static inline size_t outq_len(const struct outq *q)
{
	return buf_len(&q->queued);
}
/* -EMSGSIZE past the maximum. */
static inline int outq_append(struct outq *q, const void *bytes, size_t n)
{
	return buf_append(&q->queued, bytes, n);
}
/* A pump's pull: lets go of what was pulled before (*ret_freed, may be NULL, says how much that was) and returns
 * everything queued. */
long outq_pull(struct outq *q, const uint8_t **ret, size_t *ret_freed);

#endif
