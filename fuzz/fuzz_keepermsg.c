/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_keepermsg: a message to sbx-keeper, and the same bytes as its reply to each kind of request. What decodes encodes
 * again to a message that decodes to the same.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "wire/keepermsg.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void request(const char *text, size_t n)
{
	static struct keepermsg_request a, b;
	struct buf again;

	if (keepermsg_decode(text, n, &a, NULL) < 0)
		return;
	buf_init(&again, KEEPERMSG_MAX_BYTES);
	assert(keepermsg_encode(&a, &again) == 0);
	assert(keepermsg_decode((const char *)buf_bytes(&again), buf_len(&again), &b, NULL) == 0);
	assert(memcmp(&a, &b, sizeof(a)) == 0);
	buf_done(&again);
}

static void reply(enum keepermsg_op op, const char *text, size_t n)
{
	static struct keepermsg_reply a, b;
	struct buf again;

	if (keepermsg_decode_reply(op, text, n, &a, NULL) < 0)
		return;
	/* An error's text is made printable, and so is no longer what it was. */
	if (a.error.kind != ERR_NONE)
		return;
	buf_init(&again, KEEPERMSG_MAX_BYTES);
	assert(keepermsg_encode_reply(op, &a, &again) == 0);
	assert(keepermsg_decode_reply(op, (const char *)buf_bytes(&again), buf_len(&again), &b, NULL) == 0);
	assert(memcmp(&a, &b, sizeof(a)) == 0);
	buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	request((const char *)bytes, n);
	for (int op = KEEPERMSG_ATTACH; op <= KEEPERMSG_VERSION; op++)
		reply((enum keepermsg_op)op, (const char *)bytes, n);
	return 0;
}
