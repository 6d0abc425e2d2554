/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_httphead: byte 0 says request or response, what it answers, and how the rest is cut. What is accepted whole is accepted in pieces as the
 * same message; and what we write for it is read as the same message again, written as the same bytes.
 */
#include <assert.h>
#include <string.h>

#include "wire/httphead.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* Bytes taken where a head came, else -1; its canonical form in out. *how then says the scheme of the target. */
static long canonical(uint8_t *how, const uint8_t *bytes, size_t n, size_t step, struct buf *out)
{
	struct httpmsg_refusal why = { 0 };
	bool request = !(*how & 1);
	struct httpmsg m;
	struct httphead h;
	size_t at = 0;
	long r = 0;

	httpmsg_init(&m, request ? HTTPMSG_REQUEST : HTTPMSG_RESPONSE);
	httphead_init(&h, &m, *how & 2 ? DEST_HTTPS : DEST_HTTP);
	m.to_head = *how & 4;
	m.to_connect = *how & 8;
	m.to_websocket = *how & 16;
	while (at < n && !h.done && r >= 0) {
		r = httphead_feed(&h, bytes + at, n - at < step ? n - at : step, &why);
		at += r > 0 ? (size_t)r : 0;
	}
	assert(r >= 0 || (why.status >= 400 && why.reason));
	if (h.done) {
		assert(!request || m.dest.port != 0);
		*how = (uint8_t)((*how & ~2) | (m.scheme == DEST_HTTPS ? 2 : 0));
		httpmsg_strip(&m);
		assert((request ? httphead_write_request(out, &m, HTTPHEAD_ORIGIN) : httphead_write_response(out, &m)) == 0);
	}
	httpmsg_done(&m);
	return h.done ? (long)at : -1;
}

static void assert_same(struct buf *a, const struct buf *b)
{
	assert(buf_len(a) == buf_len(b) && memcmp(buf_bytes(a), buf_bytes(b), buf_len(a)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct buf whole, pieces, again;
	uint8_t how, same;
	long taken;

	if (n < 1)
		return 0;
	buf_init(&whole, 1 << 20);
	buf_init(&pieces, 1 << 20);
	buf_init(&again, 1 << 20);
	how = same = bytes[0];
	taken = canonical(&how, bytes + 1, n - 1, n, &whole);
	assert(canonical(&same, bytes + 1, n - 1, 1 + (bytes[0] >> 5), &pieces) == taken && how == same);
	assert_same(&whole, &pieces);
	if (taken >= 0 && buf_len(&whole) < HTTPMSG_REQUEST_HEAD_MAX - 1000) {
		assert(canonical(&how, buf_bytes(&whole), buf_len(&whole), n, &again) == (long)buf_len(&whole));
		assert_same(&again, &whole);
	}
	(void)httphead_sniff(bytes, n);
	buf_done(&whole);
	buf_done(&pieces);
	buf_done(&again);
	return 0;
}
