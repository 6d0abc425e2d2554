/* SPDX-License-Identifier: Apache-2.0
 *
 * dns: see dns.h. Enters: a datagram of any program in the guest, hostile. What leaves is built from the decoded question
 * and our own values only.
 */
#include "wire/dns.h"

#include <errno.h>
#include <string.h>

#define FLAG_QR 0x8000
#define FLAG_OPCODE 0x7800
#define FLAG_AA 0x0400
#define FLAG_TC 0x0200
#define FLAG_RD 0x0100
#define FLAG_RA 0x0080
#define FLAG_CD 0x0010

#define LABEL_MAX 63
#define OPT_BYTES 11
/* The question's name, as a compression pointer to right behind the header. */
#define NAME_POINTER (0xc000 | DNS_HEAD)

/* One message being written; the longest that we make is an answer to PTR: name 255, pointer 2, name 255, and fixed parts. */
struct message {
	uint8_t bytes[1024];
	size_t n;
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put(struct message *m, const void *bytes, size_t n)
{
	memcpy(m->bytes + m->n, bytes, n);
	m->n += n;
}

static void put8(struct message *m, unsigned int v)
{
	m->bytes[m->n++] = (uint8_t)v;
}

static void put16(struct message *m, unsigned int v)
{
	put8(m, v >> 8);
	put8(m, v & 0xff);
}

static void put32(struct message *m, uint32_t v)
{
	put16(m, v >> 16);
	put16(m, v & 0xffff);
}

/* The text of one label; false where a byte of it is in no host name. */
static bool label_text(const uint8_t *p, size_t n, char *dst)
{
	for (size_t i = 0; i < n; i++) {
		char c = (char)p[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c | 0x20);
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
			return false;
		dst[i] = c;
	}
	return true;
}

/* The question's name. Returns the bytes it takes, 0 where it is malformed. */
static size_t decode_name(const uint8_t *p, size_t n, struct dns_query *q)
{
	size_t at = 0, text = 0;

	q->host_name = true;
	for (;;) {
		size_t len;

		if (at >= n || at >= DNS_WIRE_NAME_MAX)
			return 0;
		len = p[at];
		if (len == 0)
			break;
		/* Past 63 is a compression pointer, which can only point at the header or at itself here. */
		if (len > LABEL_MAX || at + 1 + len >= n || at + 1 + len >= DNS_WIRE_NAME_MAX)
			return 0;
		if (text > 0)
			q->name[text++] = '.';
		q->host_name = q->host_name && label_text(p + at + 1, len, q->name + text);
		text += len;
		at += 1 + len;
	}
	at++;
	memcpy(q->wire_name, p, at);
	q->wire_n = at;
	if (!q->host_name)
		memset(q->name, 0, sizeof(q->name));
	return at;
}

/* An OPT record (RFC 6891 6.1) that fills p to its end. */
static enum dns_result decode_opt(const uint8_t *p, size_t n, struct dns_query *q)
{
	size_t left, at = OPT_BYTES;

	if (n < OPT_BYTES || p[0] != 0 || get16(p + 1) != DNS_TYPE_OPT || get16(p + 9) != n - OPT_BYTES)
		return DNS_BAD_FORM;
	for (left = n - OPT_BYTES; left > 0; left = n - at) {
		if (left < 4 || get16(p + at + 2) > left - 4)
			return DNS_BAD_FORM;
		at += 4U + get16(p + at + 2);
	}
	q->edns = true;
	if (get16(p + 3) > DNS_UDP_MAX)
		q->udp_bytes = get16(p + 3);
	return p[6] != 0 ? DNS_BAD_EDNS : DNS_ANSWER;
}

enum dns_result dns_decode(const uint8_t *bytes, size_t n, struct dns_query *ret)
{
	struct dns_query q = { .udp_bytes = DNS_UDP_MAX };
	enum dns_result r = DNS_BAD_FORM;
	size_t name, at;

	if (n < DNS_HEAD || (get16(bytes + 2) & FLAG_QR))
		return DNS_DROP;
	q.id = get16(bytes);
	q.flags = get16(bytes + 2);
	*ret = q;
	if (q.flags & FLAG_OPCODE)
		return DNS_BAD_OPCODE;
	if (n > DNS_QUERY_MAX || (q.flags & FLAG_TC) || get16(bytes + 4) != 1 || get16(bytes + 6) != 0 ||
	    get16(bytes + 8) != 0 || get16(bytes + 10) > 1)
		return DNS_BAD_FORM;
	name = decode_name(bytes + DNS_HEAD, n - DNS_HEAD, &q);
	at = DNS_HEAD + name;
	if (name == 0 || n - at < 4)
		return DNS_BAD_FORM;
	q.type = get16(bytes + at);
	q.class = get16(bytes + at + 2);
	at += 4;
	if (get16(bytes + 10) == 1)
		r = decode_opt(bytes + at, n - at, &q);
	else if (at == n)
		r = DNS_ANSWER;
	if (r != DNS_BAD_FORM)
		*ret = q;
	return r;
}

/* Header and question; the sections after it are empty until count(). */
static void begin(struct message *m, const struct dns_query *q, enum dns_rcode rcode, unsigned int flags)
{
	m->n = 0;
	put16(m, q->id);
	put16(m, FLAG_QR | FLAG_RA | (q->flags & (FLAG_OPCODE | FLAG_RD | FLAG_CD)) | flags | (rcode & 15));
	put16(m, q->wire_n > 0);
	put16(m, 0);
	put16(m, 0);
	put16(m, q->edns);
	if (q->wire_n > 0) {
		put(m, q->wire_name, q->wire_n);
		put16(m, q->type);
		put16(m, q->class);
	}
}

static void count(struct message *m, size_t section)
{
	m->bytes[5 + 2 * section] = 1;
}

static int finish(struct buf *out, struct message *m, const struct dns_query *q, enum dns_rcode rcode)
{
	if (q->edns) {
		put8(m, 0);
		put16(m, DNS_TYPE_OPT);
		put16(m, DNS_EDNS_MAX);
		put8(m, rcode >> 4); /* the upper bits of the rcode */
		put8(m, 0);          /* version */
		put16(m, 0);         /* flags: no DNSSEC */
		put16(m, 0);
	}
	return buf_append(out, m->bytes, m->n);
}

static int answer(struct buf *out, const struct dns_query *q, const uint8_t *data, size_t n, uint32_t ttl)
{
	struct message m;

	begin(&m, q, DNS_NOERROR, FLAG_AA);
	if (m.n + 12 + n + (q->edns ? OPT_BYTES : 0) > q->udp_bytes) {
		begin(&m, q, DNS_NOERROR, FLAG_AA | FLAG_TC);
		return finish(out, &m, q, DNS_NOERROR);
	}
	count(&m, 1);
	put16(&m, NAME_POINTER);
	put16(&m, q->type);
	put16(&m, DNS_CLASS_IN);
	put32(&m, ttl);
	put16(&m, (unsigned int)n);
	put(&m, data, n);
	return finish(out, &m, q, DNS_NOERROR);
}

int dns_encode_a(struct buf *out, const struct dns_query *q, const uint8_t addr[4], uint32_t ttl)
{
	return q->wire_n > 0 ? answer(out, q, addr, 4, ttl) : -EINVAL;
}

/* "a.b" as labels; 0 where it is no name. */
static size_t encode_name(const char *name, uint8_t dst[DNS_WIRE_NAME_MAX])
{
	size_t n = strlen(name), label = 0;

	if (n == 0 || n > DNS_NAME_MAX)
		return 0;
	for (size_t i = 0; i <= n; i++) {
		if (name[i] != '.' && i < n) {
			dst[i + 1] = (uint8_t)name[i];
			continue;
		}
		if (i == label || i - label > LABEL_MAX)
			return 0;
		dst[label] = (uint8_t)(i - label);
		label = i + 1;
	}
	dst[n + 1] = 0;
	return n + 2;
}

int dns_encode_ptr(struct buf *out, const struct dns_query *q, const char *name, uint32_t ttl)
{
	uint8_t wire[DNS_WIRE_NAME_MAX];
	size_t n = encode_name(name, wire);

	return q->wire_n > 0 && n > 0 ? answer(out, q, wire, n, ttl) : -EINVAL;
}

int dns_encode_none(struct buf *out, const struct dns_query *q, enum dns_rcode rcode, uint32_t ttl)
{
	struct message m;

	if (q->wire_n == 0)
		return -EINVAL;
	begin(&m, q, rcode, FLAG_AA);
	count(&m, 2);
	put8(&m, 0); /* owner: the root, above every name */
	put16(&m, DNS_TYPE_SOA);
	put16(&m, DNS_CLASS_IN);
	put32(&m, ttl);
	put16(&m, 22);
	put16(&m, 0); /* mname and rname: the root */
	put32(&m, 1); /* serial, refresh, retry, expire */
	put32(&m, 3600);
	put32(&m, 600);
	put32(&m, 86400);
	put32(&m, ttl);
	return finish(out, &m, q, rcode);
}

int dns_encode_refusal(struct buf *out, const struct dns_query *q, enum dns_rcode rcode)
{
	struct message m;

	begin(&m, q, rcode, 0);
	return finish(out, &m, q, rcode);
}

int dns_encode_error(struct buf *out, const struct dns_query *q, enum dns_result result)
{
	enum dns_rcode rcode = result == DNS_BAD_OPCODE ? DNS_NOTIMP : result == DNS_BAD_EDNS ? DNS_BADVERS : DNS_FORMERR;

	return dns_encode_refusal(out, q, rcode);
}

bool dns_reverse_v4(const char *name, uint8_t ret[4])
{
	static const char zone[] = "in-addr.arpa";
	uint8_t addr[4];
	const char *p = name;

	for (int i = 3; i >= 0; i--) {
		unsigned int v = 0;
		const char *from = p;

		for (; *p >= '0' && *p <= '9' && p - from < 3; p++)
			v = v * 10 + (unsigned int)(*p - '0');
		if (p == from || v > 255 || (*from == '0' && p - from > 1) || *p++ != '.')
			return false;
		addr[i] = (uint8_t)v;
	}
	if (strcmp(p, zone) != 0)
		return false;
	memcpy(ret, addr, 4);
	return true;
}
