/* SPDX-License-Identifier: Apache-2.0
 *
 * DNS: hostile queries, and answers byte by byte.
 */
#include "wire/dns.h"

#include <errno.h>

#include "base/own.h"
#include "oom.h"
#include "unit.h"

#define BYTES(s) (const uint8_t *)(s), sizeof(s) - 1
#define HEAD "\x12\x34\x01\x00\0\1\0\0\0\0\0\0"
#define OK_TEST "\2ok\4test\0"
#define IN_A "\0\1\0\1"

static void a_question(void **state)
{
	struct dns_query q;

	assert_int_equal(dns_decode(BYTES(HEAD "\2oK\4TEST\0" IN_A), &q), DNS_ANSWER);
	assert_int_equal(q.id, 0x1234);
	assert_string_equal(q.name, "ok.test");
	assert_true(q.host_name);
	assert_int_equal(q.type, DNS_TYPE_A);
	assert_int_equal(q.class, DNS_CLASS_IN);
	assert_int_equal(q.wire_n, 9);
	assert_memory_equal(q.wire_name, "\2oK\4TEST", 9);
	assert_false(q.edns);
	assert_int_equal(q.udp_bytes, 512);
}

static void names(void **state)
{
	static const struct {
		const uint8_t *bytes;
		size_t n;
		const char *name; /* NULL: no host name */
	} cases[] = {
		{ BYTES(HEAD "\0" IN_A), "" },
		{ BYTES(HEAD "\2ok\0" IN_A), "ok" },
		{ BYTES(HEAD "\4wpad\0" IN_A), "wpad" },
		{ BYTES(HEAD "\5_ldap\4_tcp\2dc\6_msdcs\0" IN_A), "_ldap._tcp.dc._msdcs" },
		{ BYTES(HEAD "\3a.b\4test\0" IN_A), NULL },
		{ BYTES(HEAD "\2a\0\4test\0" IN_A), NULL },
		{ BYTES(HEAD "\1*\4test\0" IN_A), NULL },
		{ BYTES(HEAD "\3b\xc3\xbc\4test\0" IN_A), NULL },
		{ BYTES(HEAD "\2 a\4test\0" IN_A), NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct dns_query q;

		assert_int_equal(dns_decode(cases[i].bytes, cases[i].n, &q), DNS_ANSWER);
		assert_int_equal(q.host_name, cases[i].name != NULL);
		assert_string_equal(q.name, cases[i].name ? cases[i].name : "");
	}
}

static void longest_names(void **state)
{
	uint8_t bytes[DNS_HEAD + 300];
	struct dns_query q;

	memcpy(bytes, HEAD, DNS_HEAD);
	/* Three labels of 63 and one of n: 193 + n + 1 bytes on the wire, at most 255. */
	for (size_t n = 60; n <= 63; n++) {
		size_t at = DNS_HEAD;

		for (int i = 0; i < 3; i++) {
			bytes[at++] = 63;
			memset(bytes + at, 'a', 63);
			at += 63;
		}
		bytes[at++] = (uint8_t)n;
		memset(bytes + at, 'b', n);
		at += n;
		bytes[at++] = 0;
		memcpy(bytes + at, IN_A, 4);
		assert_int_equal(dns_decode(bytes, at + 4, &q), n <= 61 ? DNS_ANSWER : DNS_BAD_FORM);
		if (n <= 61)
			assert_int_equal(strlen(q.name), 192 + n);
	}
}

static void what_is_refused(void **state)
{
	static const struct {
		const uint8_t *bytes;
		size_t n;
		enum dns_result r;
	} cases[] = {
		{ BYTES(""), DNS_DROP },
		{ BYTES("\x12\x34\x01\x00\0\1\0\0\0\0\0"), DNS_DROP },
		{ BYTES("\x12\x34\x81\x00\0\1\0\0\0\0\0\0" OK_TEST IN_A), DNS_DROP },       /* QR */
		{ BYTES("\x12\x34\x29\x00\0\1\0\0\0\0\0\0" OK_TEST IN_A), DNS_BAD_OPCODE }, /* UPDATE */
		{ BYTES("\x12\x34\x09\x00\0\1\0\0\0\0\0\0" OK_TEST IN_A), DNS_BAD_OPCODE }, /* IQUERY */
		{ BYTES("\x12\x34\x03\x00\0\1\0\0\0\0\0\0" OK_TEST IN_A), DNS_BAD_FORM },   /* TC */
		{ BYTES("\x12\x34\x01\x00\0\0\0\0\0\0\0\0"), DNS_BAD_FORM },
		{ BYTES("\x12\x34\x01\x00\0\2\0\0\0\0\0\0" OK_TEST IN_A OK_TEST IN_A), DNS_BAD_FORM },
		{ BYTES("\x12\x34\x01\x00\xff\xff\0\0\0\0\0\0" OK_TEST IN_A), DNS_BAD_FORM },
		{ BYTES("\x12\x34\x01\x00\0\1\0\1\0\0\0\0" OK_TEST IN_A), DNS_BAD_FORM },
		{ BYTES("\x12\x34\x01\x00\0\1\0\0\0\1\0\0" OK_TEST IN_A), DNS_BAD_FORM },
		{ BYTES("\x12\x34\x01\x00\0\1\0\0\0\0\0\2" OK_TEST IN_A), DNS_BAD_FORM },
		{ BYTES(HEAD), DNS_BAD_FORM },
		{ BYTES(HEAD "\2ok"), DNS_BAD_FORM },
		{ BYTES(HEAD "\2ok\4test"), DNS_BAD_FORM },
		{ BYTES(HEAD OK_TEST), DNS_BAD_FORM },
		{ BYTES(HEAD OK_TEST "\0\1\0"), DNS_BAD_FORM },
		{ BYTES(HEAD OK_TEST IN_A "\0"), DNS_BAD_FORM },      /* something behind it */
		{ BYTES(HEAD "\xc0\x0c" IN_A), DNS_BAD_FORM },        /* a pointer to itself */
		{ BYTES(HEAD "\xc0\x00" IN_A), DNS_BAD_FORM },
		{ BYTES(HEAD "\2ok\xc0\x0c" IN_A), DNS_BAD_FORM },
		{ BYTES(HEAD "\2ok\xc0"), DNS_BAD_FORM },
		{ BYTES(HEAD "\x40" "aaaa\0" IN_A), DNS_BAD_FORM },   /* extended label */
		{ BYTES(HEAD "\x80" "aaaa\0" IN_A), DNS_BAD_FORM },
	};
	static uint8_t random[400], big[DNS_QUERY_MAX + 1];
	uint32_t seed = 1;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct dns_query q;
		enum dns_result r = dns_decode(cases[i].bytes, cases[i].n, &q);

		if (r != cases[i].r)
			fail_msg("case %zu: %d, not %d", i, r, cases[i].r);
		if (r != DNS_DROP)
			assert_int_equal(q.id, 0x1234);
	}
	for (int round = 0; round < 1000; round++) {
		struct dns_query q;

		for (size_t i = 0; i < sizeof(random); i++) {
			seed = seed * 1103515245 + 12345;
			random[i] = (uint8_t)(seed >> 16);
		}
		assert_int_not_equal(dns_decode(random, sizeof(random), &q), DNS_ANSWER);
	}
	memcpy(big, BYTES(HEAD OK_TEST IN_A));
	assert_int_equal(dns_decode(big, sizeof(big), &(struct dns_query){ 0 }), DNS_BAD_FORM);
}

#define HEAD_OPT "\x12\x34\x01\x00\0\1\0\0\0\0\0\1"

static void edns(void **state)
{
	static const struct {
		const uint8_t *bytes;
		size_t n;
		enum dns_result r;
		uint16_t udp;
	} cases[] = {
		{ BYTES(HEAD_OPT OK_TEST IN_A "\0\0\x29\x10\0\0\0\0\0\0\0"), DNS_ANSWER, 4096 },
		{ BYTES(HEAD_OPT OK_TEST IN_A "\0\0\x29\0\1\0\0\x80\0\0\0"), DNS_ANSWER, 512 },
		{ BYTES(HEAD_OPT OK_TEST IN_A "\0\0\x29\x10\0\0\0\0\0\0\x0c\0\x0a\0\x08" "12345678"), DNS_ANSWER, 4096 },
		{ BYTES(HEAD_OPT OK_TEST IN_A "\0\0\x29\x10\0\0\1\0\0\0\0"), DNS_BAD_EDNS, 4096 },
		{ BYTES(HEAD_OPT OK_TEST IN_A), DNS_BAD_FORM, 512 },
		{ BYTES(HEAD_OPT OK_TEST IN_A "\0\0\x29\x10\0\0\0\0\0\0"), DNS_BAD_FORM, 512 },
		{ BYTES(HEAD_OPT OK_TEST IN_A "\1\0\x29\x10\0\0\0\0\0\0\0"), DNS_BAD_FORM, 512 },
		{ BYTES(HEAD_OPT OK_TEST IN_A "\0\0\xfa\0\xff\0\0\0\0\0\0"), DNS_BAD_FORM, 512 }, /* TSIG */
		{ BYTES(HEAD_OPT OK_TEST IN_A "\0\0\x29\x10\0\0\0\0\0\0\1"), DNS_BAD_FORM, 512 },
		{ BYTES(HEAD_OPT OK_TEST IN_A "\0\0\x29\x10\0\0\0\0\0\0\3abc"), DNS_BAD_FORM, 512 },
		{ BYTES(HEAD_OPT OK_TEST IN_A "\0\0\x29\x10\0\0\0\0\0\0\4\0\x0a\0\1"), DNS_BAD_FORM, 512 },
		{ BYTES(HEAD_OPT OK_TEST IN_A "\0\0\x29\x10\0\0\0\0\0\0\0x"), DNS_BAD_FORM, 512 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct dns_query q;

		assert_int_equal(dns_decode(cases[i].bytes, cases[i].n, &q), cases[i].r);
		assert_int_equal(q.udp_bytes, cases[i].udp);
		assert_int_equal(q.edns, cases[i].r != DNS_BAD_FORM);
	}
}

static struct dns_query asked(const uint8_t *bytes, size_t n)
{
	struct dns_query q;

	assert_int_equal(dns_decode(bytes, n, &q), DNS_ANSWER);
	return q;
}

static void assert_bytes(struct buf *out, const uint8_t *bytes, size_t n)
{
	assert_int_equal(buf_len(out), n);
	assert_memory_equal(buf_bytes(out), bytes, n);
	buf_consume(out, n);
}

#define SOA "\0\0\6\0\1\0\0\0\x3c\0\x16\0\0\0\0\0\1\0\0\x0e\x10\0\0\2\x58\0\1\x51\x80\0\0\0\x3c"

static void answers(void **state)
{
	static const uint8_t addr[4] = { 198, 18, 0, 7 };
	struct dns_query q = asked(BYTES(HEAD "\2oK\4test\0" IN_A));
	struct dns_query opt = asked(BYTES(HEAD_OPT OK_TEST "\0\x1c\0\1" "\0\0\x29\x10\0\0\0\0\0\0\0"));
	struct dns_query ptr = asked(BYTES(HEAD "\1" "7\1" "0\2" "18\3" "198\7in-addr\4arpa\0\0\x0c\0\1"));
	struct buf out;

	buf_init(&out, 4096);
	assert_int_equal(dns_encode_a(&out, &q, addr, 60), 0);
	assert_bytes(&out, BYTES("\x12\x34\x85\x80\0\1\0\1\0\0\0\0\2oK\4test\0" IN_A
				 "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc6\x12\0\7"));
	assert_int_equal(dns_encode_none(&out, &opt, DNS_NOERROR, 60), 0);
	assert_bytes(&out, BYTES("\x12\x34\x85\x80\0\1\0\0\0\1\0\1" OK_TEST "\0\x1c\0\1" SOA
				 "\0\0\x29\4\xd0\0\0\0\0\0\0"));
	assert_int_equal(dns_encode_none(&out, &q, DNS_NXDOMAIN, 60), 0);
	assert_bytes(&out, BYTES("\x12\x34\x85\x83\0\1\0\0\0\1\0\0\2oK\4test\0" IN_A SOA));
	assert_int_equal(dns_encode_refusal(&out, &q, DNS_REFUSED), 0);
	assert_bytes(&out, BYTES("\x12\x34\x81\x85\0\1\0\0\0\0\0\0\2oK\4test\0" IN_A));
	assert_int_equal(dns_encode_ptr(&out, &ptr, "ok.test", 60), 0);
	assert_int_equal(buf_len(&out), DNS_HEAD + ptr.wire_n + 4 + 12 + 9);
	assert_memory_equal(buf_bytes(&out) + buf_len(&out) - 9, OK_TEST, 9);
	buf_done(&out);
}

static void errors(void **state)
{
	struct dns_query q;
	struct buf out;

	buf_init(&out, 4096);
	assert_int_equal(dns_decode(BYTES(HEAD "\xc0\x0c" IN_A), &q), DNS_BAD_FORM);
	assert_int_equal(dns_encode_error(&out, &q, DNS_BAD_FORM), 0);
	assert_bytes(&out, BYTES("\x12\x34\x81\x81\0\0\0\0\0\0\0\0"));
	assert_int_equal(dns_encode_a(&out, &q, (const uint8_t[4]){ 0 }, 1), -EINVAL);
	assert_int_equal(dns_encode_none(&out, &q, DNS_NXDOMAIN, 1), -EINVAL);
	assert_int_equal(dns_encode_ptr(&out, &q, "a", 1), -EINVAL);
	assert_int_equal(dns_decode(BYTES("\x12\x34\x29\x00\0\1\0\0\0\0\0\0"), &q), DNS_BAD_OPCODE);
	assert_int_equal(dns_encode_error(&out, &q, DNS_BAD_OPCODE), 0);
	assert_bytes(&out, BYTES("\x12\x34\xa9\x84\0\0\0\0\0\0\0\0"));
	assert_int_equal(dns_decode(BYTES(HEAD_OPT OK_TEST IN_A "\0\0\x29\x10\0\0\1\0\0\0\0"), &q), DNS_BAD_EDNS);
	assert_int_equal(dns_encode_error(&out, &q, DNS_BAD_EDNS), 0);
	assert_bytes(&out, BYTES("\x12\x34\x81\x80\0\1\0\0\0\0\0\1" OK_TEST IN_A "\0\0\x29\4\xd0\1\0\0\0\0\0"));
	buf_done(&out);
}

/* An answer that the client does not take is left out, not cut. */
static void truncation(void **state)
{
	char name[254];
	uint8_t bytes[600] = HEAD;
	struct dns_query q;
	struct buf out;
	size_t at = DNS_HEAD;

	for (size_t i = 0; i < 253; i++)
		name[i] = i % 64 == 63 ? '.' : 'a';
	name[253] = 0;
	for (int i = 0; i < 3; i++, at += 64)
		memcpy(bytes + at, "\077aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 64);
	memcpy(bytes + at, "\0\0\x0c\0\1", 5);
	q = asked(bytes, at + 5);
	buf_init(&out, 4096);
	assert_int_equal(dns_encode_ptr(&out, &q, name, 60), 0);
	assert_true(buf_len(&out) <= 512);
	buf_consume(&out, buf_len(&out));
	q.edns = true;
	q.udp_bytes = 480;
	assert_int_equal(dns_encode_ptr(&out, &q, name, 60), 0);
	assert_int_equal(buf_len(&out), DNS_HEAD + q.wire_n + 4 + 11);
	assert_int_equal(buf_bytes(&out)[2] & 2, 2);
	assert_int_equal(buf_bytes(&out)[7], 0);
	buf_done(&out);
}

static void names_that_are_none(void **state)
{
	static const char *const names_refused[] = {
		"", ".", "a.", ".a", "a..b",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", /* 64 */
	};
	struct dns_query q = asked(BYTES(HEAD OK_TEST "\0\x0c\0\1"));
	char long_name[300];
	struct buf out;

	buf_init(&out, 4096);
	for (size_t i = 0; i < ARRAY_LEN(names_refused); i++)
		assert_int_equal(dns_encode_ptr(&out, &q, names_refused[i], 1), -EINVAL);
	for (size_t i = 0; i < sizeof(long_name); i++)
		long_name[i] = i % 2 ? '.' : 'a';
	long_name[255] = 0;
	assert_int_equal(dns_encode_ptr(&out, &q, long_name, 1), -EINVAL);
	long_name[253] = 0;
	assert_int_equal(dns_encode_ptr(&out, &q, long_name, 1), 0);
	buf_done(&out);
}

static void bounded_and_without_memory(void **state)
{
	static const uint8_t addr[4] = { 1, 2, 3, 4 };
	struct dns_query q = asked(BYTES(HEAD OK_TEST IN_A));
	struct buf out;

	buf_init(&out, 40);
	assert_int_equal(dns_encode_a(&out, &q, addr, 1), -EMSGSIZE);
	assert_int_equal(buf_len(&out), 0);
	buf_done(&out);
	buf_init(&out, 4096);
	oom_from(0);
	assert_int_equal(dns_encode_a(&out, &q, addr, 1), -ENOMEM);
	assert_true(oom_off());
	assert_int_equal(buf_len(&out), 0);
	buf_done(&out);
}

static void reverse_names(void **state)
{
	static const char *const bad[] = { "",          "in-addr.arpa",           "1.2.3.in-addr.arpa", "1.2.3.4.5.in-addr.arpa",
					   "256.0.0.1.in-addr.arpa", "01.0.0.1.in-addr.arpa", "1.2.3.4.in-addr.arpa.x",
					   "1.2.3.4.ip6.arpa", "-1.2.3.4.in-addr.arpa", "1.2.3.4in-addr.arpa",
					   "1.2.3..in-addr.arpa", "1000.2.3.4.in-addr.arpa" };
	uint8_t addr[4] = { 9, 9, 9, 9 };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(dns_reverse_v4(bad[i], addr));
	assert_memory_equal(addr, "\t\t\t\t", 4);
	assert_true(dns_reverse_v4("7.0.18.198.in-addr.arpa", addr));
	assert_memory_equal(addr, "\xc6\x12\0\7", 4);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_question),
		cmocka_unit_test(names),
		cmocka_unit_test(longest_names),
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(edns),
		cmocka_unit_test(answers),
		cmocka_unit_test(errors),
		cmocka_unit_test(truncation),
		cmocka_unit_test(names_that_are_none),
		cmocka_unit_test(bounded_and_without_memory),
		cmocka_unit_test(reverse_names),
	};

	return cmocka_run_group_tests_name("dns", tests, NULL, NULL);
}
