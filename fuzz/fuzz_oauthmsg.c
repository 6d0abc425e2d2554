/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_oauthmsg: a message about sign-ins to sbx-keeper, and the same bytes as each of its replies. What decodes encodes again to a message that
 * decodes to the same.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "wire/oauthmsg.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void request(const char *text, size_t n)
{
	static struct oauthmsg_request a, b;
	struct buf again;

	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	if (oauthmsg_decode(text, n, &a, NULL) < 0)
		return;
	buf_init(&again, KEEPERMSG_MAX_BYTES);
	/* With all its members a definition may be longer than it came. */
	if (oauthmsg_encode(&a, &again) == 0) {
		assert(oauthmsg_decode((const char *)buf_bytes(&again), buf_len(&again), &b, NULL) == 0);
		assert(memcmp(&a, &b, sizeof(a)) == 0);
	}
	buf_done(&again);
}

static void replies(const char *text, size_t n)
{
	static struct oauthdef_list services;
	static struct oauthmsg_begun begun, begun2;
	static struct oauthmsg_given given, given2;
	struct buf again;

	(void)oauthmsg_decode_services(text, n, &services, NULL);
	buf_init(&again, KEEPERMSG_MAX_BYTES);
	if (oauthmsg_decode_begun(text, n, &begun, NULL) == 0) {
		assert(oauthmsg_encode_begun(&begun, &again) == 0);
		assert(oauthmsg_decode_begun((const char *)buf_bytes(&again), buf_len(&again), &begun2, NULL) == 0);
		assert(memcmp(&begun, &begun2, sizeof(begun)) == 0);
	}
	buf_done(&again);
	if (oauthmsg_decode_given(text, n, &given, NULL) == 0 && oauthmsg_encode_given(&given, &again) == 0) {
		assert(oauthmsg_decode_given((const char *)buf_bytes(&again), buf_len(&again), &given2, NULL) == 0);
		assert(memcmp(&given, &given2, sizeof(given)) == 0);
	}
	buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	request((const char *)bytes, n);
	replies((const char *)bytes, n);
	return 0;
}
