/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_secretmsg: a message about secrets to sbx-keeper, and the same bytes as each of its replies. What decodes encodes again to a
 * message that decodes to the same, and what would go into a header is fit for one.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "wire/httpmsg.h"
#include "wire/secretmsg.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void request(const char *text, size_t n)
{
	static struct secretmsg_request a, b;
	struct buf again;

	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	if (secretmsg_decode(text, n, &a, NULL) < 0)
		return;
	buf_init(&again, KEEPERMSG_MAX_BYTES);
	assert(secretmsg_encode(&a, &again) == 0);
	assert(secretmsg_decode((const char *)buf_bytes(&again), buf_len(&again), &b, NULL) == 0);
	assert(memcmp(&a, &b, sizeof(a)) == 0);
	buf_done(&again);
	for (size_t i = 0; a.op == SECRETMSG_SET && i < a.secret.nbindings; i++) {
		static char field[SECRETMSG_FIELD_MAX + 1];

		if (secretmsg_field(a.secret.bindings[i].format, a.value.s, field, sizeof(field)) == 0)
			assert(httpmsg_is_value(field, strlen(field)));
		assert(httpmsg_is_token(a.secret.bindings[i].header, strlen(a.secret.bindings[i].header)));
	}
}

static void list(const char *text, size_t n)
{
	static struct secretmsg_list a, b;
	struct buf again;

	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	if (secretmsg_decode_list(text, n, &a, NULL) < 0)
		return;
	buf_init(&again, KEEPERMSG_MAX_BYTES);
	/* With all its members a secret may be longer than it came. */
	if (secretmsg_encode_list(&a, &again) == 0) {
		assert(secretmsg_decode_list((const char *)buf_bytes(&again), buf_len(&again), &b, NULL) == 0);
		assert(memcmp(&a, &b, sizeof(a)) == 0);
	}
	buf_done(&again);
}

static void injection(const char *text, size_t n)
{
	static struct secretmsg_injection a, b;
	struct buf again;

	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	if (secretmsg_decode_injection(text, n, &a, NULL) < 0)
		return;
	buf_init(&again, KEEPERMSG_MAX_BYTES);
	assert(secretmsg_encode_injection(&a, &again) == 0);
	assert(secretmsg_decode_injection((const char *)buf_bytes(&again), buf_len(&again), &b, NULL) == 0);
	assert(memcmp(&a, &b, sizeof(a)) == 0);
	assert(a.none[0] || httpmsg_is_value(a.field, strlen(a.field)));
	buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	request((const char *)bytes, n);
	list((const char *)bytes, n);
	injection((const char *)bytes, n);
	(void)secretmsg_decode_ok((const char *)bytes, n, NULL);
	return 0;
}
