/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_http1: byte 0 says request or response and how the rest is cut; what is accepted in pieces is accepted whole,
 * with the same body.
 */
#include <assert.h>

#include "wire/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

struct sum {
	uint64_t body, messages;
};

static int on_body(void *user, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((struct sum *)user)->body = ((struct sum *)user)->body * 31 + bytes[i];
	return 0;
}

static int on_complete(void *user)
{
	((struct sum *)user)->messages++;
	return 0;
}

/* Messages until the end or the first refusal, `step` bytes at a time; -1: refused. */
static int parse(enum http1_role role, const uint8_t *bytes, size_t n, size_t step, struct sum *sum)
{
	static const struct http1_ops ops = { .body = on_body, .complete = on_complete };
	struct http1 *h = http1_new(role, 65536, &ops, sum);
	long r = 0;

	for (size_t at = 0; h && at < n && r >= 0; at += r > 0 ? (size_t)r : 0) {
		http1_next(h);
		r = http1_feed(h, bytes + at, n - at < step ? n - at : step, NULL);
	}
	http1_free(h);
	return r < 0 ? -1 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct sum whole = { 0 }, pieces = { 0 };
	enum http1_role role;

	if (n < 1)
		return 0;
	role = bytes[0] & 1 ? HTTP1_RESPONSE : HTTP1_REQUEST;
	if (parse(role, bytes + 1, n - 1, n, &whole) == 0)
		assert(parse(role, bytes + 1, n - 1, 1 + (bytes[0] >> 1), &pieces) == 0 && pieces.body == whole.body &&
		       pieces.messages == whole.messages);
	return 0;
}
