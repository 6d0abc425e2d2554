/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_storemsg: a message about the keeper's store, the same bytes as its answer, and as its key file. What decodes encodes again to what
 * decodes to the same.
 */
#include <assert.h>
#include <string.h>

#include "wire/storemsg.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void request(const char *text, size_t n)
{
	static struct storemsg_request a, b;
	struct buf again;

	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	if (storemsg_decode(text, n, &a, NULL) < 0)
		return;
	buf_init(&again, KEEPERMSG_MAX_BYTES);
	assert(storemsg_encode(&a, &again) == 0);
	assert(storemsg_decode((const char *)buf_bytes(&again), buf_len(&again), &b, NULL) == 0);
	assert(memcmp(&a, &b, sizeof(a)) == 0);
	buf_done(&again);
}

/* A `why` that had to be escaped is longer the second time. */
static void status(const char *text, size_t n)
{
	static struct storemsg_status a, b;
	struct buf again;

	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	if (storemsg_decode_status(text, n, &a, NULL) < 0)
		return;
	buf_init(&again, KEEPERMSG_MAX_BYTES);
	assert(storemsg_encode_status(&a, &again) == 0);
	assert(storemsg_decode_status((const char *)buf_bytes(&again), buf_len(&again), &b, NULL) == 0);
	assert(memcmp(&a.lock, &b.lock, sizeof(a.lock)) == 0 && a.locked == b.locked);
	buf_done(&again);
}

static void file(const char *text, size_t n)
{
	static struct storemsg_file a, b;
	struct buf again;

	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	if (storemsg_decode_file(text, n, &a, NULL) < 0)
		return;
	buf_init(&again, KEEPERMSG_MAX_BYTES);
	assert(storemsg_encode_file(&a, &again) == 0);
	assert(storemsg_decode_file((const char *)buf_bytes(&again), buf_len(&again), &b, NULL) == 0);
	assert(memcmp(&a, &b, sizeof(a)) == 0);
	buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	request((const char *)bytes, n);
	status((const char *)bytes, n);
	file((const char *)bytes, n);
	return 0;
}
