/* SPDX-License-Identifier: Apache-2.0
 *
 * Address classes, at the borders of each block; ranges.
 */
#include "policy/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/own.h"
#include "base/str.h"
#include "unit.h"

static struct address parse(const char *s)
{
	struct cidr c;
	struct err err;

	if (cidr_parse(s, strlen(s), &c, &err) < 0)
		fail_msg("%s: %s", s, err.msg);
	return c.net;
}

static void classes(void **state)
{
	static const struct {
		const char *address;
		enum address_class class;
	} cases[] = {
		{ "0.0.0.0", ADDRESS_UNSPECIFIED },        { "0.255.255.255", ADDRESS_UNSPECIFIED },
		{ "1.0.0.0", ADDRESS_PUBLIC },             { "1.1.1.1", ADDRESS_PUBLIC },
		{ "9.255.255.255", ADDRESS_PUBLIC },       { "10.0.0.0", ADDRESS_PRIVATE },
		{ "10.255.255.255", ADDRESS_PRIVATE },     { "11.0.0.0", ADDRESS_PUBLIC },
		{ "100.63.255.255", ADDRESS_PUBLIC },      { "100.64.0.0", ADDRESS_PRIVATE },
		{ "100.100.100.200", ADDRESS_METADATA },   { "100.127.255.255", ADDRESS_PRIVATE },
		{ "100.128.0.0", ADDRESS_PUBLIC },         { "126.255.255.255", ADDRESS_PUBLIC },
		{ "127.0.0.0", ADDRESS_LOOPBACK },         { "127.255.255.255", ADDRESS_LOOPBACK },
		{ "128.0.0.0", ADDRESS_PUBLIC },           { "168.63.129.16", ADDRESS_METADATA },
		{ "168.63.129.17", ADDRESS_PUBLIC },       { "169.253.255.255", ADDRESS_PUBLIC },
		{ "169.254.0.0", ADDRESS_LINK_LOCAL },     { "169.254.169.254", ADDRESS_METADATA },
		{ "169.254.170.2", ADDRESS_METADATA },     { "169.254.255.255", ADDRESS_LINK_LOCAL },
		{ "169.255.0.0", ADDRESS_PUBLIC },         { "172.15.255.255", ADDRESS_PUBLIC },
		{ "172.16.0.0", ADDRESS_PRIVATE },         { "172.31.255.255", ADDRESS_PRIVATE },
		{ "172.32.0.0", ADDRESS_PUBLIC },          { "191.255.255.255", ADDRESS_PUBLIC },
		{ "192.0.0.0", ADDRESS_OTHER_SPECIAL },    { "192.0.0.8", ADDRESS_OTHER_SPECIAL },
		{ "192.0.0.192", ADDRESS_METADATA },       { "192.0.0.255", ADDRESS_OTHER_SPECIAL },
		{ "192.0.1.0", ADDRESS_PUBLIC },           { "192.0.2.0", ADDRESS_DOCUMENTATION },
		{ "192.0.2.255", ADDRESS_DOCUMENTATION },  { "192.0.3.0", ADDRESS_PUBLIC },
		{ "192.31.196.1", ADDRESS_OTHER_SPECIAL }, { "192.52.193.1", ADDRESS_OTHER_SPECIAL },
		{ "192.88.99.1", ADDRESS_OTHER_SPECIAL },  { "192.167.255.255", ADDRESS_PUBLIC },
		{ "192.168.0.0", ADDRESS_PRIVATE },        { "192.168.255.255", ADDRESS_PRIVATE },
		{ "192.169.0.0", ADDRESS_PUBLIC },         { "192.175.48.1", ADDRESS_OTHER_SPECIAL },
		{ "198.17.255.255", ADDRESS_PUBLIC },      { "198.18.0.0", ADDRESS_OTHER_SPECIAL },
		{ "198.19.255.255", ADDRESS_OTHER_SPECIAL }, { "198.20.0.0", ADDRESS_PUBLIC },
		{ "198.51.100.1", ADDRESS_DOCUMENTATION }, { "203.0.113.1", ADDRESS_DOCUMENTATION },
		{ "203.0.114.0", ADDRESS_PUBLIC },         { "223.255.255.255", ADDRESS_PUBLIC },
		{ "224.0.0.0", ADDRESS_MULTICAST },        { "239.255.255.255", ADDRESS_MULTICAST },
		{ "240.0.0.0", ADDRESS_OTHER_SPECIAL },    { "255.255.255.254", ADDRESS_OTHER_SPECIAL },
		{ "255.255.255.255", ADDRESS_MULTICAST },
		{ "::", ADDRESS_UNSPECIFIED },             { "::1", ADDRESS_LOOPBACK },
		{ "::2", ADDRESS_UNSPECIFIED },            { "::7f00:1", ADDRESS_LOOPBACK },
		{ "::127.0.0.1", ADDRESS_LOOPBACK },       { "::ffff:127.0.0.1", ADDRESS_LOOPBACK },
		{ "::ffff:10.0.0.1", ADDRESS_PRIVATE },    { "::ffff:169.254.169.254", ADDRESS_METADATA },
		{ "::ffff:93.184.216.34", ADDRESS_OTHER_SPECIAL }, { "::ffff:0:7f00:1", ADDRESS_LOOPBACK },
		{ "64:ff9b::7f00:1", ADDRESS_LOOPBACK },   { "64:ff9b::a9fe:a9fe", ADDRESS_METADATA },
		{ "64:ff9b::808:808", ADDRESS_OTHER_SPECIAL }, { "64:ff9b:1::1", ADDRESS_OTHER_SPECIAL },
		{ "64:ff9b:2::1", ADDRESS_OTHER_SPECIAL }, { "100::1", ADDRESS_OTHER_SPECIAL },
		{ "1fff:ffff::1", ADDRESS_OTHER_SPECIAL }, { "2000::1", ADDRESS_PUBLIC },
		{ "2001::1", ADDRESS_OTHER_SPECIAL },      { "2001:0:4136:e378:8000:63bf:3fff:fdd2", ADDRESS_DOCUMENTATION },
		{ "2001:0:4136:e378:8000:63bf:80ff:fffe", ADDRESS_LOOPBACK },
		{ "2001:1ff:ffff::1", ADDRESS_OTHER_SPECIAL }, { "2001:200::1", ADDRESS_PUBLIC },
		{ "2001:db7:ffff::1", ADDRESS_PUBLIC },    { "2001:db8::1", ADDRESS_DOCUMENTATION },
		{ "2001:db9::1", ADDRESS_PUBLIC },         { "2002:7f00:1::1", ADDRESS_LOOPBACK },
		{ "2002:a9fe:a9fe::", ADDRESS_METADATA },  { "2002:808:808::1", ADDRESS_OTHER_SPECIAL },
		{ "2003::1", ADDRESS_PUBLIC },             { "2606:2800:220:1::10", ADDRESS_PUBLIC },
		{ "2620:4f:8000::1", ADDRESS_OTHER_SPECIAL }, { "3ffe:ffff::1", ADDRESS_PUBLIC },
		{ "3fff::1", ADDRESS_DOCUMENTATION },      { "3fff:fff:ffff::1", ADDRESS_DOCUMENTATION },
		{ "3fff:1000::1", ADDRESS_PUBLIC },        { "4000::1", ADDRESS_OTHER_SPECIAL },
		{ "5f00::1", ADDRESS_OTHER_SPECIAL },      { "fbff::1", ADDRESS_OTHER_SPECIAL },
		{ "fc00::1", ADDRESS_PRIVATE },            { "fd00:ec2::254", ADDRESS_METADATA },
		{ "fd00:ec2::255", ADDRESS_PRIVATE },      { "fdff::1", ADDRESS_PRIVATE },
		{ "fe00::1", ADDRESS_OTHER_SPECIAL },      { "fe80::1", ADDRESS_LINK_LOCAL },
		{ "febf::1", ADDRESS_LINK_LOCAL },         { "fec0::1", ADDRESS_PRIVATE },
		{ "feff::1", ADDRESS_PRIVATE },            { "ff02::1", ADDRESS_MULTICAST },
		{ "ff05::1:3", ADDRESS_MULTICAST },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct address a = parse(cases[i].address);
		struct address_info info;

		address_classify(&a, &info);
		if (info.class != cases[i].class)
			fail_msg("%s is %s (%s)", cases[i].address, address_class_name(info.class), info.name);
		assert_true(info.name && info.name[0]);
	}
}

static void carried_addresses(void **state)
{
	static const struct {
		const char *address, *inner;
		bool translated;
	} cases[] = {
		{ "::ffff:1.2.3.4", "1.2.3.4", false },    { "::1.2.3.4", "1.2.3.4", false },
		{ "::ffff:0:1.2.3.4", "1.2.3.4", false },  { "64:ff9b::1.2.3.4", "1.2.3.4", true },
		{ "2002:102:304:5::6", "1.2.3.4", false }, { "2001:0:5:6:7:8:fefd:fcfb", "1.2.3.4", false },
	};
	static const char *const none[] = { "::", "::1", "2606:2800::1", "1.2.3.4", "64:ff9b:1::1", "2001:1::1" };
	struct address_info info;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct address a = parse(cases[i].address), inner = parse(cases[i].inner);

		address_classify(&a, &info);
		assert_true(info.embeds && address_equal(&info.inner, &inner));
		assert_int_equal(info.translated, cases[i].translated);
		assert_int_not_equal(info.class, ADDRESS_PUBLIC);
	}
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		struct address a = parse(none[i]);

		address_classify(&a, &info);
		assert_false(info.embeds);
	}
	address_classify(&(struct address){ .bits = 0 }, &info);
	assert_int_equal(info.class, ADDRESS_UNSPECIFIED);
}

static void what_settings_can_open(void **state)
{
	static const bool can[] = { [ADDRESS_PUBLIC] = true,    [ADDRESS_PRIVATE] = true,    [ADDRESS_DOCUMENTATION] = true,
				    [ADDRESS_OTHER_SPECIAL] = true, [ADDRESS_LOOPBACK] = false, [ADDRESS_LINK_LOCAL] = false,
				    [ADDRESS_MULTICAST] = false, [ADDRESS_METADATA] = false, [ADDRESS_UNSPECIFIED] = false };

	assert_int_equal(ARRAY_LEN(can), ADDRESS_CLASSES);
	for (int i = 0; i < ADDRESS_CLASSES; i++)
		assert_int_equal(address_class_permittable((enum address_class)i), can[i]);
}

static void ranges(void **state)
{
	static const struct {
		const char *in, *out;
	} good[] = {
		{ "10.1.0.0/16", "10.1.0.0/16" }, { "0.0.0.0/0", "0.0.0.0/0" },      { "1.2.3.4/32", "1.2.3.4" },
		{ "1.2.3.4", "1.2.3.4" },         { "2001:DB8::/32", "2001:db8::/32" }, { "::/0", "::/0" },
		{ "::1/128", "::1" },             { "128.0.0.0/1", "128.0.0.0/1" },  { "fe80::/10", "fe80::/10" },
	};
	static const char *const bad[] = {
		"",           "/",          "/8",          "10.0.0.0/",   "10.0.0.0/33",  "10.0.0.0/08", "10.0.0.0/+8", "10.0.0.0/-1",
		"10.0.0.0/8 ", "10.0.0.1/8", "10.1/16",     "::/129",      "2001:db8::1/32", "a.test/8",   "10.0.0.0/8/8", "0x0a.0.0.0/8",
		"fe80::1%eth0/64", "10.0.0.0/1000", "[::1]/128",
	};
	char text[CIDR_PRINT_MAX];
	struct cidr c;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(cidr_parse(good[i].in, strlen(good[i].in), &c, &err), 0);
		cidr_print(&c, text);
		assert_string_equal(text, good[i].out);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (cidr_parse(bad[i], strlen(bad[i]), &c, &err) != -EINVAL)
			fail_msg("%s was taken", bad[i]);
		assert_int_equal(err.kind, ERR_INVALID);
	}
	assert_int_equal(cidr_parse("10.0.0.1/8", 10, &c, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "10.0.0.0/8"));
}

static void what_a_range_contains(void **state)
{
	static const struct {
		const char *range, *address;
		bool in;
	} cases[] = {
		{ "10.0.0.0/8", "10.255.0.1", true },      { "10.0.0.0/8", "11.0.0.0", false },
		{ "10.0.0.0/9", "10.127.255.255", true },  { "10.0.0.0/9", "10.128.0.0", false },
		{ "1.2.3.4", "1.2.3.4", true },            { "1.2.3.4", "1.2.3.5", false },
		{ "0.0.0.0/0", "255.255.255.255", true },  { "0.0.0.0/0", "::", false },
		{ "::/0", "1.2.3.4", false },              { "2001:db8::/33", "2001:db8:7fff::1", true },
		{ "2001:db8::/33", "2001:db8:8000::", false }, { "::ffff:0:0/96", "1.2.3.4", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct address a = parse(cases[i].address);
		struct cidr c;

		assert_int_equal(cidr_parse(cases[i].range, strlen(cases[i].range), &c, NULL), 0);
		if (cidr_contains(&c, &a) != cases[i].in)
			fail_msg("%s in %s", cases[i].address, cases[i].range);
	}
}

static void from_the_kernel(void **state)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x5db8d822) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
	struct sockaddr sa = { .sa_family = AF_UNIX };
	struct address a = { .bits = 7 };
	char text[ADDRESS_PRINT_MAX];

	assert_int_equal(address_from_sockaddr((struct sockaddr *)&in, sizeof(in), &a), 0);
	address_print(&a, text);
	assert_string_equal(text, "93.184.216.34");
	assert_int_equal(address_from_sockaddr((struct sockaddr *)&in6, sizeof(in6), &a), 0);
	address_print(&a, text);
	assert_string_equal(text, "::1");
	/* Refusals leave it as it was. */
	in6.sin6_scope_id = 2;
	assert_int_equal(address_from_sockaddr((struct sockaddr *)&in6, sizeof(in6), &a), -EINVAL);
	assert_int_equal(address_from_sockaddr((struct sockaddr *)&in, sizeof(in) - 1, &a), -EINVAL);
	assert_int_equal(address_from_sockaddr((struct sockaddr *)&in6, sizeof(in), &a), -EINVAL);
	assert_int_equal(address_from_sockaddr(&sa, 1, &a), -EINVAL);
	assert_int_equal(address_from_sockaddr(&sa, sizeof(sa), &a), -EAFNOSUPPORT);
	assert_int_equal(a.bits, 128);
	address_print(&(struct address){ .bits = 0 }, text);
	assert_string_equal(text, "-");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(classes),
		cmocka_unit_test(carried_addresses),
		cmocka_unit_test(what_settings_can_open),
		cmocka_unit_test(ranges),
		cmocka_unit_test(what_a_range_contains),
		cmocka_unit_test(from_the_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
