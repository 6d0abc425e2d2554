/* SPDX-License-Identifier: Apache-2.0
 *
 * record: see record.h. No I/O, no state.
 */
#include "wire/record.h"

#include <errno.h>

/* The lengths that a type allows. */
static int bounds(uint8_t type, size_t *min, size_t *max)
{
	*min = 0;
	*max = RECORD_MAX;
	switch (type) {
	case RECORD_REQUEST:
	case RECORD_REPLY:
	case RECORD_EVENT:
	case RECORD_START:
	case RECORD_FAILED:
	case RECORD_STDIN:
	case RECORD_STDOUT:
	case RECORD_STDERR:
		return 0;
	case RECORD_STDIN_EOF:
		*max = 0;
		return 0;
	case RECORD_SIGNAL:
		*min = *max = 1;
		return 0;
	case RECORD_EXIT:
		*min = *max = 2;
		return 0;
	case RECORD_RESIZE:
	case RECORD_STARTED:
		*min = *max = 4;
		return 0;
	default:
		return -EPROTO;
	}
}

int record_decode(const uint8_t *bytes, size_t n, struct record *ret)
{
	size_t len, min, max;

	if (n == 0)
		return 0;
	if (bounds(bytes[0], &min, &max) < 0)
		return -EPROTO;
	if (n < RECORD_HEAD)
		return 0;
	len = (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | bytes[3];
	if (len < min || len > max)
		return -EPROTO;
	if (n < RECORD_HEAD + len)
		return 0;
	*ret = (struct record){ .type = (enum record_type)bytes[0], .data = bytes + RECORD_HEAD, .len = len };
	return (int)(RECORD_HEAD + len);
}

int record_encode(struct buf *out, enum record_type type, const void *data, size_t len)
{
	uint8_t head[RECORD_HEAD] = { (uint8_t)type, (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len };
	uint8_t *at;

	if (len > RECORD_MAX)
		return -EMSGSIZE;
	at = buf_reserve(out, RECORD_HEAD + len);
	if (!at)
		return -EMSGSIZE;
	__builtin_memcpy(at, head, RECORD_HEAD);
	if (len)
		__builtin_memcpy(at + RECORD_HEAD, data, len);
	buf_commit(out, RECORD_HEAD + len);
	return 0;
}

int record_from_guest(enum record_type type)
{
	return type == RECORD_STARTED || type == RECORD_STDOUT || type == RECORD_STDERR || type == RECORD_EXIT ||
	       type == RECORD_FAILED;
}
