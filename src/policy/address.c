/* SPDX-License-Identifier: Apache-2.0
 *
 * address: see address.h. The tables are ordered: the first row that contains an address decides, so that a narrow row
 * stands before the wide one around it.
 */
#include "policy/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"

struct row {
	uint8_t net[16];
	uint8_t prefix;
	enum address_class class;
	const char *name;
};

/* IANA IPv4 Special-Purpose Address Registry, the multicast space, and services of clouds that answer without asking. */
static const struct row v4_rows[] = {
	{ { 0, 0, 0, 0 }, 32, ADDRESS_UNSPECIFIED, "unspecified" },
	{ { 0 }, 8, ADDRESS_UNSPECIFIED, "RFC 791 this network" },
	{ { 10 }, 8, ADDRESS_PRIVATE, "RFC 1918 private use" },
	{ { 100, 100, 100, 200 }, 32, ADDRESS_METADATA, "cloud metadata service" },
	{ { 100, 64 }, 10, ADDRESS_PRIVATE, "RFC 6598 shared address space" },
	{ { 127 }, 8, ADDRESS_LOOPBACK, "RFC 1122 loopback" },
	{ { 168, 63, 129, 16 }, 32, ADDRESS_METADATA, "cloud platform service" },
	{ { 169, 254, 169, 254 }, 32, ADDRESS_METADATA, "cloud metadata service" },
	{ { 169, 254, 169, 253 }, 32, ADDRESS_METADATA, "cloud name service" },
	{ { 169, 254, 169, 123 }, 32, ADDRESS_METADATA, "cloud time service" },
	{ { 169, 254, 170, 2 }, 32, ADDRESS_METADATA, "cloud credentials service" },
	{ { 169, 254, 170, 23 }, 32, ADDRESS_METADATA, "cloud credentials service" },
	{ { 169, 254, 42, 42 }, 32, ADDRESS_METADATA, "cloud metadata service" },
	{ { 169, 254 }, 16, ADDRESS_LINK_LOCAL, "RFC 3927 link local" },
	{ { 172, 16 }, 12, ADDRESS_PRIVATE, "RFC 1918 private use" },
	{ { 192, 0, 0, 192 }, 32, ADDRESS_METADATA, "cloud metadata service" },
	{ { 192, 0, 0, 0 }, 29, ADDRESS_OTHER_SPECIAL, "RFC 7335 IPv4 service continuity" },
	{ { 192, 0, 0, 8 }, 32, ADDRESS_OTHER_SPECIAL, "RFC 7600 IPv4 dummy address" },
	{ { 192, 0, 0, 9 }, 32, ADDRESS_OTHER_SPECIAL, "RFC 7723 port control anycast" },
	{ { 192, 0, 0, 10 }, 32, ADDRESS_OTHER_SPECIAL, "RFC 8155 TURN anycast" },
	{ { 192, 0, 0, 170 }, 31, ADDRESS_OTHER_SPECIAL, "RFC 7050 NAT64 discovery" },
	{ { 192, 0, 0, 0 }, 24, ADDRESS_OTHER_SPECIAL, "RFC 6890 IETF protocol assignments" },
	{ { 192, 0, 2, 0 }, 24, ADDRESS_DOCUMENTATION, "RFC 5737 documentation" },
	{ { 192, 31, 196, 0 }, 24, ADDRESS_OTHER_SPECIAL, "RFC 7535 AS112" },
	{ { 192, 52, 193, 0 }, 24, ADDRESS_OTHER_SPECIAL, "RFC 7450 AMT" },
	{ { 192, 88, 99, 0 }, 24, ADDRESS_OTHER_SPECIAL, "RFC 7526 6to4 relay anycast" },
	{ { 192, 168 }, 16, ADDRESS_PRIVATE, "RFC 1918 private use" },
	{ { 192, 175, 48, 0 }, 24, ADDRESS_OTHER_SPECIAL, "RFC 7534 AS112 direct delegation" },
	{ { 198, 18 }, 15, ADDRESS_OTHER_SPECIAL, "RFC 2544 benchmarking" },
	{ { 198, 51, 100, 0 }, 24, ADDRESS_DOCUMENTATION, "RFC 5737 documentation" },
	{ { 203, 0, 113, 0 }, 24, ADDRESS_DOCUMENTATION, "RFC 5737 documentation" },
	{ { 233, 252, 0, 0 }, 24, ADDRESS_MULTICAST, "RFC 6676 multicast documentation" },
	{ { 224 }, 4, ADDRESS_MULTICAST, "RFC 5771 multicast" },
	{ { 255, 255, 255, 255 }, 32, ADDRESS_MULTICAST, "RFC 919 limited broadcast" },
	{ { 240 }, 4, ADDRESS_OTHER_SPECIAL, "RFC 1112 reserved" },
};

/* IANA IPv6 Special-Purpose Address Registry, and what surrounds it; public is only what no row has. */
static const struct row v6_rows[] = {
	{ { 0 }, 128, ADDRESS_UNSPECIFIED, "unspecified" },
	{ { [15] = 1 }, 128, ADDRESS_LOOPBACK, "RFC 4291 loopback" },
	{ { 0, 0x64, 0xff, 0x9b, 0, 1 }, 48, ADDRESS_OTHER_SPECIAL, "RFC 8215 local-use translation" },
	{ { 0x01, 0x00 }, 64, ADDRESS_OTHER_SPECIAL, "RFC 6666 discard only" },
	{ { 0x01, 0x00, 0, 0, 0, 0, 0, 1 }, 64, ADDRESS_OTHER_SPECIAL, "RFC 9780 dummy prefix" },
	{ { 0x20, 0x01, 0, 0x02 }, 48, ADDRESS_OTHER_SPECIAL, "RFC 5180 benchmarking" },
	{ { 0x20, 0x01, 0, 0x10 }, 28, ADDRESS_OTHER_SPECIAL, "RFC 4843 ORCHID" },
	{ { 0x20, 0x01, 0, 0x20 }, 28, ADDRESS_OTHER_SPECIAL, "RFC 7343 ORCHIDv2" },
	{ { 0x20, 0x01, 0, 0x30 }, 28, ADDRESS_OTHER_SPECIAL, "RFC 9374 drone remote ID" },
	{ { 0x20, 0x01 }, 23, ADDRESS_OTHER_SPECIAL, "RFC 2928 IETF protocol assignments" },
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32, ADDRESS_DOCUMENTATION, "RFC 3849 documentation" },
	{ { 0x26, 0x20, 0, 0x4f, 0x80, 0 }, 48, ADDRESS_OTHER_SPECIAL, "RFC 7534 AS112 direct delegation" },
	{ { 0x3f, 0xff }, 20, ADDRESS_DOCUMENTATION, "RFC 9637 documentation" },
	{ { 0x20 }, 3, ADDRESS_PUBLIC, "public" },
	{ { 0x5f, 0x00 }, 16, ADDRESS_OTHER_SPECIAL, "RFC 9602 segment routing" },
	{ { 0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, 0x54 }, 128, ADDRESS_METADATA, "cloud metadata service" },
	{ { 0xfd, 0x00, 0x0e, 0xc2, [15] = 0x23 }, 128, ADDRESS_METADATA, "cloud credentials service" },
	{ { 0xfd, 0x20, 0, 0xce, [14] = 0x02, 0x54 }, 128, ADDRESS_METADATA, "cloud metadata service" },
	{ { 0xfd, 0x00, 0, 0x42, [15] = 0x42 }, 128, ADDRESS_METADATA, "cloud metadata service" },
	{ { 0xfc }, 7, ADDRESS_PRIVATE, "RFC 4193 unique local" },
	{ { 0xfe, 0x80 }, 10, ADDRESS_LINK_LOCAL, "RFC 4291 link local" },
	{ { 0xfe, 0xc0 }, 10, ADDRESS_PRIVATE, "RFC 3879 site local" },
	{ { 0xff }, 8, ADDRESS_MULTICAST, "RFC 4291 multicast" },
	{ { 0 }, 0, ADDRESS_OTHER_SPECIAL, "outside of 2000::/3" },
};

/* IPv6 prefixes behind which an IPv4 address stands. */
static const struct {
	uint8_t net[16];
	uint8_t prefix;
	uint8_t at;     /* where the IPv4 address begins */
	uint8_t invert; /* its bits are inverted */
	bool translated;
	const char *name;
} carriers[] = {
	{ { [10] = 0xff, 0xff }, 96, 12, 0, false, "RFC 4291 IPv4-mapped" },
	{ { [8] = 0xff, 0xff }, 96, 12, 0, false, "RFC 7915 IPv4-translated" },
	{ { 0, 0x64, 0xff, 0x9b }, 96, 12, 0, true, "RFC 6052 NAT64" },
	{ { 0x20, 0x02 }, 16, 2, 0, false, "RFC 3056 6to4" },
	{ { 0x20, 0x01 }, 32, 12, 0xff, false, "RFC 4380 Teredo" },
	{ { 0 }, 96, 12, 0, false, "RFC 4291 IPv4-compatible" },
};

static bool prefix_equal(const uint8_t *a, const uint8_t *b, unsigned int prefix)
{
	unsigned int whole = prefix / 8, rest = prefix % 8;

	return memcmp(a, b, whole) == 0 && (rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0);
}

int address_from_sockaddr(const struct sockaddr *sa, socklen_t n, struct address *ret)
{
	struct address a = { .bits = 0 };
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	if (n < sizeof(sa->sa_family))
		return -EINVAL;
	if (sa->sa_family == AF_INET) {
		if (n < sizeof(in))
			return -EINVAL;
		memcpy(&in, sa, sizeof(in));
		memcpy(a.bytes, &in.sin_addr, 4);
		a.bits = 32;
	} else if (sa->sa_family == AF_INET6) {
		if (n < sizeof(in6))
			return -EINVAL;
		memcpy(&in6, sa, sizeof(in6));
		if (in6.sin6_scope_id != 0)
			return -EINVAL;
		memcpy(a.bytes, &in6.sin6_addr, 16);
		a.bits = 128;
	} else {
		return -EAFNOSUPPORT;
	}
	*ret = a;
	return 0;
}

bool address_from_dest(const struct dest *d, struct address *ret)
{
	if (d->kind == DEST_NAME)
		return false;
	memcpy(ret->bytes, d->addr, sizeof(ret->bytes));
	ret->bits = d->kind == DEST_V4 ? 32 : 128;
	return true;
}

bool address_equal(const struct address *a, const struct address *b)
{
	return a->bits == b->bits && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

void address_print(const struct address *a, char dst[ADDRESS_PRINT_MAX])
{
	if (a->bits == 0 || !inet_ntop(a->bits == 32 ? AF_INET : AF_INET6, a->bytes, dst, ADDRESS_PRINT_MAX))
		(void)str_format(dst, ADDRESS_PRINT_MAX, "-");
}

static void classify_in(const struct row *rows, size_t n, const struct address *a, struct address_info *ret)
{
	for (size_t i = 0; i < n; i++)
		if (prefix_equal(rows[i].net, a->bytes, rows[i].prefix)) {
			ret->class = rows[i].class;
			ret->name = rows[i].name;
			return;
		}
}

/* An address that carries another is never public, and is as bad as what it carries. */
static bool classify_carrier(const struct address *a, struct address_info *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(carriers); i++) {
		struct address_info inner = { .class = ADDRESS_PUBLIC };

		if (!prefix_equal(carriers[i].net, a->bytes, carriers[i].prefix))
			continue;
		ret->embeds = true;
		ret->translated = carriers[i].translated;
		ret->inner.bits = 32;
		for (size_t k = 0; k < 4; k++)
			ret->inner.bytes[k] = a->bytes[carriers[i].at + k] ^ carriers[i].invert;
		classify_in(v4_rows, ARRAY_LEN(v4_rows), &ret->inner, &inner);
		ret->class = inner.class == ADDRESS_PUBLIC ? ADDRESS_OTHER_SPECIAL : inner.class;
		ret->name = inner.class == ADDRESS_PUBLIC ? carriers[i].name : inner.name;
		return true;
	}
	return false;
}

void address_classify(const struct address *a, struct address_info *ret)
{
	static const struct address_info unknown = { .class = ADDRESS_UNSPECIFIED, .name = "no address" };
	static const struct address unspecified = { .bits = 128 }, loopback = { { [15] = 1 }, 128 };

	*ret = unknown;
	if (a->bits == 32) {
		*ret = (struct address_info){ .class = ADDRESS_PUBLIC, .name = "public" };
		classify_in(v4_rows, ARRAY_LEN(v4_rows), a, ret);
	} else if (a->bits == 128) {
		if (address_equal(a, &unspecified) || address_equal(a, &loopback) || !classify_carrier(a, ret))
			classify_in(v6_rows, ARRAY_LEN(v6_rows), a, ret);
	}
}

const char *address_class_name(enum address_class class)
{
	static const char *const names[ADDRESS_CLASSES] = {
		[ADDRESS_PUBLIC] = "public",
		[ADDRESS_PRIVATE] = "private",
		[ADDRESS_DOCUMENTATION] = "documentation",
		[ADDRESS_OTHER_SPECIAL] = "other_special",
		[ADDRESS_LOOPBACK] = "loopback",
		[ADDRESS_LINK_LOCAL] = "link_local",
		[ADDRESS_MULTICAST] = "multicast",
		[ADDRESS_METADATA] = "metadata",
		[ADDRESS_UNSPECIFIED] = "unspecified",
	};

	return (size_t)class < ARRAY_LEN(names) ? names[class] : "unspecified";
}

bool address_class_permittable(enum address_class class)
{
	return class < ADDRESS_LOOPBACK;
}

struct cidr cidr_of(const struct address *a, uint8_t prefix)
{
	struct cidr c = { { { 0 }, a->bits }, prefix };
	size_t whole = prefix / 8;

	memcpy(c.net.bytes, a->bytes, whole);
	if (prefix % 8)
		c.net.bytes[whole] = (uint8_t)(a->bytes[whole] & 0xff00 >> prefix % 8);
	return c;
}

bool cidr_contains(const struct cidr *c, const struct address *a)
{
	return c->net.bits == a->bits && prefix_equal(c->net.bytes, a->bytes, c->prefix);
}

void cidr_print(const struct cidr *c, char dst[CIDR_PRINT_MAX])
{
	char text[ADDRESS_PRINT_MAX];

	address_print(&c->net, text);
	if (c->prefix == c->net.bits)
		(void)str_format(dst, CIDR_PRINT_MAX, "%s", text);
	else
		(void)str_format(dst, CIDR_PRINT_MAX, "%s/%u", text, c->prefix);
}

/* 0-128 in plain decimal. */
static int parse_prefix(const char *s, size_t n, uint8_t *ret)
{
	unsigned int v = 0;

	if (n == 0 || n > 3 || (s[0] == '0' && n > 1))
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -EINVAL;
		v = v * 10 + (unsigned int)(s[i] - '0');
	}
	if (v > 128)
		return -EINVAL;
	*ret = (uint8_t)v;
	return 0;
}

int cidr_parse(const char *s, size_t n, struct cidr *ret, struct err *err)
{
	const char *slash = memchr(s, '/', n);
	size_t host = slash ? (size_t)(slash - s) : n;
	char shown[128], fixed[CIDR_PRINT_MAX];
	struct address a;
	struct cidr c;
	struct dest d;
	uint8_t prefix;

	str_escape(shown, sizeof(shown), s, n);
	if (dest_make(s, host, 1, DEST_TCP, &d) != DEST_OK || !address_from_dest(&d, &a))
		return err_set(err, ERR_INVALID, EINVAL, "\"%s\" is no IP address or range", shown);
	prefix = a.bits;
	if (slash && (parse_prefix(slash + 1, n - host - 1, &prefix) < 0 || prefix > a.bits))
		return err_set(err, ERR_INVALID, EINVAL, "\"%s\": the prefix is not a number from 0 to %u", shown, a.bits);
	c = cidr_of(&a, prefix);
	if (!address_equal(&c.net, &a)) {
		cidr_print(&c, fixed);
		return err_set(err, ERR_INVALID, EINVAL, "\"%s\" has bits behind its prefix: did you mean %s?", shown, fixed);
	}
	*ret = c;
	return 0;
}
