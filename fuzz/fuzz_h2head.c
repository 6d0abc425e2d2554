/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_h2head: fields of HTTP/2 heads. Input: a byte (1: response, 2: trailers, 4: no body follows, 8: plain HTTP), then fields, each
 * a byte with the name's length, two with the value's, name, value. What is accepted is written and read again as the same.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "wire/h2head.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void again(struct httpmsg *m, enum h2head_part part, bool end)
{
	static struct h2head_out out;
	struct httpmsg_refusal why = { 0 };
	struct httpmsg copy;
	struct h2head h;

	httpmsg_strip(m);
	if (m->method_id == HTTPMSG_CONNECT) {
		assert(h2head_write(m, part, &out) < 0);
		return;
	}
	assert(h2head_write(m, part, &out) == 0);
	httpmsg_init(&copy, m->kind);
	h2head_init(&h, &copy, part, m->scheme);
	copy.to_head = m->to_head;
	for (size_t i = 0; i < out.n; i++)
		h2head_field(&h, out.nv[i].name, out.nv[i].namelen, out.nv[i].value, out.nv[i].valuelen);
	/* The second may be longer than the bound by what was spelt out. */
	if (h2head_end(&h, end, &why) == 0) {
		httpmsg_strip(&copy);
		assert(copy.nentries == m->nentries && copy.status == m->status && copy.length == m->length);
		assert(copy.body == m->body && copy.te_trailers == m->te_trailers);
		assert(m->kind == HTTPMSG_RESPONSE || part == H2HEAD_TRAILERS || dest_equal(&copy.dest, &m->dest));
		assert(strcmp(httpmsg_str(&copy, copy.path), httpmsg_str(m, m->path)) == 0);
	} else {
		assert(why.status == 431 || why.status == 502);
	}
	h2head_done(&h);
	httpmsg_done(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct httpmsg_refusal why = { 0 };
	struct httpmsg m;
	struct h2head h;
	enum h2head_part part;
	bool end;

	if (n == 0)
		return 0;
	part = bytes[0] & 2 ? H2HEAD_TRAILERS : H2HEAD_HEAD;
	end = bytes[0] & 4;
	httpmsg_init(&m, bytes[0] & 1 ? HTTPMSG_RESPONSE : HTTPMSG_REQUEST);
	h2head_init(&h, &m, part, bytes[0] & 8 ? DEST_HTTP : DEST_HTTPS);
	for (size_t at = 1; at + 3 <= n;) {
		size_t name = bytes[at], value = (size_t)bytes[at + 1] << 8 | bytes[at + 2];

		at += 3;
		if (name + value > n - at)
			break;
		h2head_field(&h, bytes + at, name, bytes + at + name, value);
		at += name + value;
	}
	if (h2head_end(&h, end, &why) == 0)
		again(&m, part, end);
	else
		assert(why.status >= 400 && why.reason);
	h2head_done(&h);
	httpmsg_done(&m);
	return 0;
}
