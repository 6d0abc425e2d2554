/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_dns: a query. Whatever it is, it has an answer that fits what its client takes and repeats its number, or none.
 */
#include <assert.h>
#include <string.h>

#include "wire/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* What was appended is one answer to q. */
static void check(struct buf *out, const struct dns_query *q, int r)
{
	const uint8_t *p = buf_bytes(out);

	assert(r == 0 && buf_len(out) >= DNS_HEAD && buf_len(out) <= q->udp_bytes);
	assert(p[0] == q->id >> 8 && p[1] == (q->id & 0xff) && (p[2] & 0x80));
	buf_consume(out, buf_len(out));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static const uint8_t addr[4] = { 198, 18, 0, 1 };
	enum dns_result result;
	struct dns_query q;
	struct buf out;
	uint8_t reverse[4];

	result = dns_decode(bytes, n, &q);
	if (result == DNS_DROP)
		return 0;
	buf_init(&out, 65536);
	if (result == DNS_ANSWER) {
		assert(q.wire_n > 0 && q.wire_n <= DNS_WIRE_NAME_MAX && q.udp_bytes >= DNS_UDP_MAX);
		assert(strlen(q.name) <= DNS_NAME_MAX && (q.host_name || q.name[0] == 0));
		check(&out, &q, dns_encode_a(&out, &q, addr, 60));
		check(&out, &q, dns_encode_none(&out, &q, DNS_NXDOMAIN, 60));
		check(&out, &q, dns_encode_refusal(&out, &q, DNS_REFUSED));
		check(&out, &q, dns_encode_ptr(&out, &q, "a.test", 60));
		(void)dns_reverse_v4(q.name, reverse);
	} else {
		assert(dns_encode_error(&out, &q, result) == 0 && buf_len(&out) >= DNS_HEAD);
	}
	buf_done(&out);
	return 0;
}
