/* SPDX-License-Identifier: Apache-2.0
 *
 * dns: DNS queries in, answers out (RFC 1035, EDNS by RFC 6891), for a server that makes its answers up. A query is decoded
 * strictly: one question, no compression in it, at most an OPT record besides, nothing after the end. Answers carry one
 * record at most, and an SOA of the root where there is none, so that the client may remember it (RFC 2308). No I/O, libc
 * only, no memory besides the buffer that the caller gives.
 *
 *	switch (dns_decode(bytes, n, &q)) {
 *	case DNS_DROP:  break;                                          // not worth an answer
 *	case DNS_ANSWER: dns_encode_a(&out, &q, addr, 60); break;       // or another dns_encode_*
 *	default: dns_encode_error(&out, &q, result);                    // FORMERR, NOTIMP, BADVERS
 *	}
 *
 * One message per datagram; over TCP a 2-byte length stands before each (RFC 1035 4.2.2), which is the caller's to read
 * and to write.
 */
#ifndef SBX_WIRE_DNS_H
#define SBX_WIRE_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define DNS_HEAD 12
#define DNS_NAME_MAX 253
#define DNS_WIRE_NAME_MAX 255
#define DNS_UDP_MAX 512    /* an answer's size where the query has no OPT */
#define DNS_EDNS_MAX 1232  /* what we say that we take */
#define DNS_QUERY_MAX 4096 /* a longer query is malformed */

enum dns_type {
	DNS_TYPE_A = 1,
	DNS_TYPE_SOA = 6,
	DNS_TYPE_PTR = 12,
	DNS_TYPE_TXT = 16,
	DNS_TYPE_AAAA = 28,
	DNS_TYPE_OPT = 41,
	DNS_TYPE_SVCB = 64,
	DNS_TYPE_HTTPS = 65,
	DNS_TYPE_ANY = 255,
};
#define DNS_CLASS_IN 1

enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
	DNS_BADVERS = 16,
};

enum dns_result {
	DNS_ANSWER = 0, /* a query; the question is filled */
	DNS_DROP,       /* no query at all: shorter than a header, or an answer */
	DNS_BAD_FORM,   /* to be answered with FORMERR */
	DNS_BAD_OPCODE, /* with NOTIMP */
	DNS_BAD_EDNS,   /* with BADVERS */
};

struct dns_query {
	uint16_t id;
	uint16_t flags; /* as they came */
	/* The question; after DNS_ANSWER and DNS_BAD_EDNS. */
	uint16_t type;
	uint16_t class;
	bool host_name; /* every byte of the name is a letter, a digit, '-' or '_' */
	/* With host_name: lower case, without a trailing dot; "" for the root. Else "". dest_make says whether it is a host. */
	char name[DNS_NAME_MAX + 1];
	uint8_t wire_name[DNS_WIRE_NAME_MAX]; /* as it came: an answer repeats its case */
	size_t wire_n;
	bool edns;
	uint16_t udp_bytes; /* what the client takes over UDP: at least 512 */
};

/* Over TCP the caller sets q->udp_bytes = UINT16_MAX afterwards. */
enum dns_result dns_decode(const uint8_t *bytes, size_t n, struct dns_query *ret);

/* Each appends one message, or changes nothing: 0, -EMSGSIZE (out's maximum), -ENOMEM, -EINVAL (a name that is none). An
 * answer that is longer than the client takes is left out and marked as truncated (TC). */

/* One address. */
int dns_encode_a(struct buf *out, const struct dns_query *q, const uint8_t addr[4], uint32_t ttl);
/* One name, "host.example" without a trailing dot. */
int dns_encode_ptr(struct buf *out, const struct dns_query *q, const char *name, uint32_t ttl);
/* No record: DNS_NOERROR (the name has none of this type), DNS_NXDOMAIN, to be remembered for ttl seconds. */
int dns_encode_none(struct buf *out, const struct dns_query *q, enum dns_rcode rcode, uint32_t ttl);
/* DNS_REFUSED, DNS_SERVFAIL, with the question. */
int dns_encode_refusal(struct buf *out, const struct dns_query *q, enum dns_rcode rcode);
/* What a result other than DNS_ANSWER and DNS_DROP is answered with. */
int dns_encode_error(struct buf *out, const struct dns_query *q, enum dns_result result);

/* The address that a name below in-addr.arpa stands for ("4.3.2.1.in-addr.arpa": 1.2.3.4). */
bool dns_reverse_v4(const char *name, uint8_t ret[4]);

#endif
