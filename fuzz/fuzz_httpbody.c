/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_httpbody: byte 0 says what frames the body and how the rest is cut. Whole or in pieces the same bytes come out, and what we frame anew
 * is decoded as the same body.
 */
#include <assert.h>
#include <string.h>

#include "wire/httpbody.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

struct result {
	bool refused, done;
	size_t taken;
};

static struct result decode(uint8_t how, const uint8_t *bytes, size_t n, size_t step, struct buf *out)
{
	struct result res = { 0 };
	struct httpbody b;

	httpbody_init(&b, (enum httpmsg_body)(how & 3), how >> 2);
	while (res.taken < n && !b.done && !res.refused) {
		size_t give = n - res.taken < step ? n - res.taken : step;
		struct httpbody_piece piece;
		long r = httpbody_feed(&b, bytes + res.taken, give, &piece);

		assert(r != 0 && r <= (long)give && (r < 0 || piece.n <= (size_t)r));
		res.refused = r < 0;
		res.taken += r > 0 ? (size_t)r : 0;
		if (r > 0)
			assert(buf_append(out, piece.bytes, piece.n) == 0);
	}
	res.done = b.done;
	return res;
}

static void rewrite(const struct buf *body)
{
	struct httpbody_writer w;
	struct buf framed, back;
	struct result res;

	buf_init(&framed, 8 << 20);
	buf_init(&back, 8 << 20);
	httpbody_writer_init(&w, HTTPMSG_BODY_CHUNKED, 0);
	assert(httpbody_write(&w, &framed, buf_bytes(body), buf_len(body)) == 0 && httpbody_finish(&w, &framed) == 0);
	res = decode(HTTPMSG_BODY_CHUNKED, buf_bytes(&framed), buf_len(&framed), 7, &back);
	assert(res.done && res.taken == buf_len(&framed) && buf_len(&back) == buf_len(body));
	assert(memcmp(buf_bytes(&back), buf_bytes(body), buf_len(body)) == 0);
	buf_done(&framed);
	buf_done(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct result whole, pieces;
	struct buf a, b;

	if (n < 1)
		return 0;
	buf_init(&a, 8 << 20);
	buf_init(&b, 8 << 20);
	whole = decode(bytes[0], bytes + 1, n - 1, n, &a);
	pieces = decode(bytes[0], bytes + 1, n - 1, 1 + (bytes[0] >> 4), &b);
	assert(whole.refused == pieces.refused && whole.done == pieces.done);
	if (!whole.refused) {
		assert(whole.taken == pieces.taken && buf_len(&a) == buf_len(&b));
		assert(memcmp(buf_bytes(&a), buf_bytes(&b), buf_len(&a)) == 0);
		rewrite(&a);
	}
	buf_done(&a);
	buf_done(&b);
	return 0;
}
