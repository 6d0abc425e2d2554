/* SPDX-License-Identifier: Apache-2.0
 *
 * netdns: what is answered to which question, and the server over UDP and TCP.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest/netdns.h"
#include "guest/netgate.h"
#include "wire/dns.h"

static const uint8_t seed[16] = "0123456789abcdef";

/* A query for name ("a.b", or with a leading '\1' byte for a label that is no host name). */
static size_t query(uint8_t *dst, const char *name, uint16_t type, uint16_t class)
{
	static const uint8_t head[DNS_HEAD] = { 0xab, 0xcd, 1, 0, 0, 1 };
	size_t at = DNS_HEAD;

	memcpy(dst, head, sizeof(head));
	while (*name) {
		size_t n = strcspn(name, ".");

		dst[at++] = (uint8_t)n;
		memcpy(dst + at, name, n);
		at += n;
		name += n + (name[n] == '.');
	}
	dst[at++] = 0;
	dst[at++] = (uint8_t)(type >> 8);
	dst[at++] = (uint8_t)type;
	dst[at++] = (uint8_t)(class >> 8);
	dst[at++] = (uint8_t)class;
	return at;
}

struct reply {
	uint8_t bytes[NETDNS_ANSWER_MAX];
	size_t n;
	int rcode, answers;
};

static struct reply reply_of(struct netnames *m, const char *name, uint16_t type, uint16_t class)
{
	uint8_t q[512];
	struct reply r = { 0 };
	struct buf out;

	buf_init(&out, NETDNS_ANSWER_MAX);
	netdns_answer(m, NETGATE_ADDRESS, q, query(q, name, type, class), false, &out);
	r.n = buf_len(&out);
	assert_true(r.n >= DNS_HEAD);
	memcpy(r.bytes, buf_bytes(&out), r.n);
	buf_done(&out);
	assert_int_equal(r.bytes[0] << 8 | r.bytes[1], 0xabcd);
	r.rcode = r.bytes[3] & 15;
	r.answers = r.bytes[6] << 8 | r.bytes[7];
	return r;
}

/* The address of an answer with one A record, which stands at its end. */
static uint32_t address_in(const struct reply *r)
{
	const uint8_t *p = r->bytes + r->n - 4;

	assert_int_equal(r->rcode, DNS_NOERROR);
	assert_int_equal(r->answers, 1);
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void expect(struct netnames *m, const char *name, uint16_t type, int rcode)
{
	struct reply r = reply_of(m, name, type, DNS_CLASS_IN);

	assert_int_equal(r.rcode, rcode);
	assert_int_equal(r.answers, 0);
}

static void names_get_addresses(void **state)
{
	struct netnames *m = netnames_new(seed);
	struct reply r = reply_of(m, "Example.COM", DNS_TYPE_A, DNS_CLASS_IN);
	uint32_t address = address_in(&r);

	assert_string_equal(netnames_name(m, address, 0), "example.com");
	r = reply_of(m, "example.com", DNS_TYPE_A, DNS_CLASS_IN);
	assert_int_equal(address_in(&r), address);
	r = reply_of(m, "gateway.docker.internal", DNS_TYPE_A, DNS_CLASS_IN);
	assert_int_equal(address_in(&r), NETGATE_ADDRESS);
	r = reply_of(m, "host.docker.internal", DNS_TYPE_A, DNS_CLASS_IN);
	assert_string_equal(netnames_name(m, address_in(&r), 0), "host.docker.internal");
	r = reply_of(m, "app.localhost", DNS_TYPE_A, DNS_CLASS_IN);
	assert_int_equal(address_in(&r), 0x7f000001);
	netnames_free(m);
}

static void other_questions_have_empty_answers(void **state)
{
	struct netnames *m = netnames_new(seed);
	struct reply r;

	expect(m, "example.com", DNS_TYPE_AAAA, DNS_NOERROR);
	expect(m, "example.com", DNS_TYPE_HTTPS, DNS_NOERROR);
	expect(m, "example.com", DNS_TYPE_TXT, DNS_NOERROR);
	expect(m, "example.com", DNS_TYPE_ANY, DNS_NOERROR);
	expect(m, "_http._tcp.example.com", 33, DNS_NOERROR);
	expect(m, "gateway.docker.internal", DNS_TYPE_AAAA, DNS_NOERROR);
	expect(m, "single", DNS_TYPE_A, DNS_NXDOMAIN);
	expect(m, "single", DNS_TYPE_AAAA, DNS_NXDOMAIN);
	expect(m, "", DNS_TYPE_A, DNS_NXDOMAIN);
	expect(m, "1.2.3.4", DNS_TYPE_A, DNS_NXDOMAIN);
	expect(m, "a b.example", DNS_TYPE_A, DNS_NXDOMAIN);
	r = reply_of(m, "example.com", DNS_TYPE_A, 3);
	assert_int_equal(r.rcode, DNS_REFUSED);
	netnames_free(m);
}

static void the_way_back(void **state)
{
	struct netnames *m = netnames_new(seed);
	struct reply r = reply_of(m, "example.com", DNS_TYPE_A, DNS_CLASS_IN);
	uint32_t a = address_in(&r);
	char name[64];

	(void)snprintf(name, sizeof(name), "%u.%u.%u.%u.in-addr.arpa", a & 255, a >> 8 & 255, a >> 16 & 255, a >> 24);
	r = reply_of(m, name, DNS_TYPE_PTR, DNS_CLASS_IN);
	assert_int_equal(r.answers, 1);
	assert_memory_equal(r.bytes + r.n - 13, "\7example\3com", 13);
	r = reply_of(m, "1.0.18.198.in-addr.arpa", DNS_TYPE_PTR, DNS_CLASS_IN);
	assert_int_equal(r.answers, 1);
	expect(m, "9.9.9.9.in-addr.arpa", DNS_TYPE_PTR, DNS_NXDOMAIN);
	expect(m, "example.com", DNS_TYPE_PTR, DNS_NXDOMAIN);
	netnames_free(m);
}

static void rubbish_is_refused_or_dropped(void **state)
{
	struct netnames *m = netnames_new(seed);
	uint8_t q[512];
	size_t n = query(q, "example.com", DNS_TYPE_A, DNS_CLASS_IN);
	struct buf out;

	buf_init(&out, NETDNS_ANSWER_MAX);
	netdns_answer(m, NETGATE_ADDRESS, q, 5, false, &out);
	assert_int_equal(buf_len(&out), 0);
	q[2] |= 0x80; /* an answer */
	netdns_answer(m, NETGATE_ADDRESS, q, n, false, &out);
	assert_int_equal(buf_len(&out), 0);
	q[2] = 1;
	netdns_answer(m, NETGATE_ADDRESS, q, n - 1, false, &out);
	assert_int_equal(buf_bytes(&out)[3] & 15, DNS_FORMERR);
	buf_done(&out);
	netnames_free(m);
}

/* ---- the server ---- */

struct server {
	uv_loop_t loop;
	struct netnames *names;
	struct netdns *dns;
};

static void start(struct server *s)
{
	struct err err = { 0 };

	assert_int_equal(uv_loop_init(&s->loop), 0);
	s->names = netnames_new(seed);
	assert_int_equal(netdns_start(&s->loop, s->names, 0x7f000001, 0, &s->dns, &err), 0);
}

static void stop(struct server *s)
{
	netdns_free(s->dns);
	(void)uv_run(&s->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&s->loop), 0);
	netnames_free(s->names);
}

static int dial(struct server *s, int type)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(netdns_port(s->dns)),
				  .sin_addr = { .s_addr = htonl(0x7f000001) } };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

/* Runs the loop until fd has something to say: its bytes, 0 at its end. */
static ssize_t hear(struct server *s, int fd, uint8_t *dst, size_t size)
{
	for (int i = 0; i < 1000; i++) {
		ssize_t n = recv(fd, dst, size, MSG_DONTWAIT);

		if (n >= 0 || errno != EAGAIN)
			return n;
		(void)uv_run(&s->loop, UV_RUN_ONCE);
	}
	fail();
	return -1;
}

static void a_datagram_is_answered(void **state)
{
	struct server s;
	uint8_t q[512], r[512];
	size_t n = query(q, "example.com", DNS_TYPE_A, DNS_CLASS_IN);
	int fd;

	start(&s);
	fd = dial(&s, SOCK_DGRAM);
	assert_int_equal(send(fd, q, n, 0), n);
	assert_true(hear(&s, fd, r, sizeof(r)) > (ssize_t)n);
	assert_int_equal(r[7], 1);
	(void)close(fd);
	stop(&s);
}

static void tcp_takes_several_in_pieces(void **state)
{
	struct server s;
	uint8_t q[1024], r[512];
	size_t one = query(q + 2, "example.com", DNS_TYPE_A, DNS_CLASS_IN) + 2, have = 0;
	int fd;

	q[0] = 0;
	q[1] = (uint8_t)(one - 2);
	memcpy(q + one, q, one);
	start(&s);
	fd = dial(&s, SOCK_STREAM);
	for (size_t at = 0; at < 2 * one; at += 7) {
		assert_true(send(fd, q + at, 2 * one - at < 7 ? 2 * one - at : 7, 0) > 0);
		(void)uv_run(&s.loop, UV_RUN_NOWAIT);
	}
	(void)shutdown(fd, SHUT_WR);
	for (;;) {
		ssize_t n = hear(&s, fd, r + have, sizeof(r) - have);

		assert_true(n >= 0);
		if (n == 0)
			break;
		have += (size_t)n;
	}
	assert_int_equal(have, 2 * (2 + (size_t)(r[0] << 8 | r[1])));
	(void)close(fd);
	stop(&s);
}

static void tcp_has_bounds(void **state)
{
	static const uint8_t too_long[2] = { 0xff, 0xff };
	struct server s;
	uint8_t r[16];
	int fd, many[NETDNS_TCP_MAX + 1];

	start(&s);
	fd = dial(&s, SOCK_STREAM);
	assert_int_equal(send(fd, too_long, 2, 0), 2);
	assert_int_equal(hear(&s, fd, r, sizeof(r)), 0);
	(void)close(fd);
	for (int i = 0; i <= NETDNS_TCP_MAX; i++)
		many[i] = dial(&s, SOCK_STREAM);
	assert_int_equal(hear(&s, many[NETDNS_TCP_MAX], r, sizeof(r)), 0);
	assert_int_equal(recv(many[0], r, sizeof(r), MSG_DONTWAIT), -1);
	for (int i = 0; i <= NETDNS_TCP_MAX; i++)
		(void)close(many[i]);
	stop(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_get_addresses),	cmocka_unit_test(other_questions_have_empty_answers),
		cmocka_unit_test(the_way_back),		cmocka_unit_test(rubbish_is_refused_or_dropped),
		cmocka_unit_test(a_datagram_is_answered), cmocka_unit_test(tcp_takes_several_in_pieces),
		cmocka_unit_test(tcp_has_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
