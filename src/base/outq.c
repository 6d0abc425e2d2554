/* SPDX-License-Identifier: Apache-2.0
 *
 * outq: see outq.h. Two buffers that change places.
 */
#include "base/outq.h"

void outq_init(struct outq *q, size_t max_bytes)
{
	buf_init(&q->queued, max_bytes);
	buf_init(&q->sending, max_bytes);
}

void outq_done(struct outq *q)
{
	buf_done(&q->queued);
	buf_done(&q->sending);
}

long outq_pull(struct outq *q, const uint8_t **ret, size_t *ret_freed)
{
	struct buf empty = q->sending;

	if (ret_freed)
		*ret_freed = buf_len(&empty);
	buf_consume(&empty, buf_len(&empty));
	q->sending = q->queued;
	q->queued = empty;
	*ret = buf_bytes(&q->sending);
	return (long)buf_len(&q->sending);
}
