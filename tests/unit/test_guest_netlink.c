/* SPDX-License-Identifier: Apache-2.0
 *
 * netlink, netfilter: what was built is decoded again, and compared with what is meant; the kernel's refusal is passed on.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "guest/netfilter.h"
#include "guest/netlink.h"

#define NFT(type) (NFNL_SUBSYS_NFTABLES << 8 | (type))

struct span {
	const uint8_t *at;
	size_t n;
};

/* The next attribute of s: its type and content. */
static bool next_attr(struct span *s, uint16_t *type, struct span *content)
{
	struct nlattr a;
	size_t step;

	if (s->n == 0)
		return false;
	assert_true(s->n >= sizeof(a));
	memcpy(&a, s->at, sizeof(a));
	assert_true(a.nla_len >= sizeof(a) && a.nla_len <= s->n);
	*type = a.nla_type & (uint16_t)NLA_TYPE_MASK;
	*content = (struct span){ s->at + sizeof(a), a.nla_len - sizeof(a) };
	step = (a.nla_len + 3U) & ~3U;
	assert_true(step <= s->n);
	s->at += step;
	s->n -= step;
	return true;
}

static struct span attr(struct span in, uint16_t wanted)
{
	struct span content;
	uint16_t type;

	while (next_attr(&in, &type, &content))
		if (type == wanted)
			return content;
	fail_msg("no attribute %u", wanted);
	return in;
}

static uint32_t be32(struct span s)
{
	uint32_t v;

	assert_int_equal(s.n, 4);
	memcpy(&v, s.at, 4);
	return ntohl(v);
}

static const char *text(struct span s)
{
	assert_true(s.n > 0 && s.at[s.n - 1] == 0);
	return (const char *)s.at;
}

static void hex(char *dst, struct span s)
{
	dst += strlen(dst);
	for (size_t i = 0; i < s.n; i++)
		dst += snprintf(dst, 3, "%02x", s.at[i]);
}

/* One expression as words, the way nft --debug=netlink writes it. */
static void expression_text(char *dst, struct span e)
{
	const char *name = text(attr(e, NFTA_EXPR_NAME));
	struct span data = attr(e, NFTA_EXPR_DATA);

	(void)snprintf(dst + strlen(dst), 64, " %s", name);
	dst += strlen(dst);
	if (strcmp(name, "meta") == 0) {
		(void)snprintf(dst, 64, ":%s", be32(attr(data, NFTA_META_KEY)) == NFT_META_OIFNAME ? "oifname" : "l4proto");
	} else if (strcmp(name, "fib") == 0) {
		assert_int_equal(be32(attr(data, NFTA_FIB_RESULT)), NFT_FIB_RESULT_OIFNAME);
		assert_int_equal(be32(attr(data, NFTA_FIB_FLAGS)), NFTA_FIB_F_DADDR);
	} else if (strcmp(name, "cmp") == 0) {
		(void)snprintf(dst, 64, "%s", be32(attr(data, NFTA_CMP_OP)) == NFT_CMP_EQ ? "=" : "!");
		hex(dst, attr(attr(data, NFTA_CMP_DATA), NFTA_DATA_VALUE));
	} else if (strcmp(name, "payload") == 0) {
		(void)snprintf(dst, 64, ":%u+%u/%u", be32(attr(data, NFTA_PAYLOAD_BASE)), be32(attr(data, NFTA_PAYLOAD_OFFSET)),
			       be32(attr(data, NFTA_PAYLOAD_LEN)));
	} else if (strcmp(name, "immediate") == 0) {
		(void)snprintf(dst, 64, "%u=", be32(attr(data, NFTA_IMMEDIATE_DREG)));
		hex(dst, attr(attr(data, NFTA_IMMEDIATE_DATA), NFTA_DATA_VALUE));
	} else if (strcmp(name, "nat") == 0) {
		assert_int_equal(be32(attr(data, NFTA_NAT_TYPE)), NFT_NAT_DNAT);
		assert_int_equal(be32(attr(data, NFTA_NAT_FAMILY)), NFPROTO_IPV4);
		assert_int_equal(be32(attr(data, NFTA_NAT_REG_ADDR_MIN)), NFT_REG_1);
		assert_int_equal(be32(attr(data, NFTA_NAT_REG_PROTO_MIN)), NFT_REG_2);
	} else {
		assert_string_equal(name, "reject");
		assert_int_equal(be32(attr(data, NFTA_REJECT_TYPE)), NFT_REJECT_ICMP_UNREACH);
	}
}

static void rule_text(char *dst, struct span message)
{
	struct span list = attr(message, NFTA_RULE_EXPRESSIONS), e;
	uint16_t type;

	assert_string_equal(text(attr(message, NFTA_RULE_TABLE)), "sbx");
	(void)snprintf(dst, 64, "%s:", text(attr(message, NFTA_RULE_CHAIN)));
	while (next_attr(&list, &type, &e)) {
		assert_int_equal(type, NFTA_LIST_ELEM);
		expression_text(dst, e);
	}
}

static void chain_text(char *dst, struct span message)
{
	struct span hook = attr(message, NFTA_CHAIN_HOOK);

	assert_int_equal(be32(attr(message, NFTA_CHAIN_POLICY)), NF_ACCEPT);
	(void)snprintf(dst, 256, "%s: %s hook %u at %d", text(attr(message, NFTA_CHAIN_NAME)),
		       text(attr(message, NFTA_CHAIN_TYPE)), be32(attr(hook, NFTA_HOOK_HOOKNUM)),
		       (int)be32(attr(hook, NFTA_HOOK_PRIORITY)));
}

#define SBX0 "=73627830000000000000000000000000" /* "sbx0", as long as a device's name may be */

static void the_table_is_what_is_meant(void **state)
{
	static const char *const wanted[] = {
		"begin",
		"table",
		"no table",
		"table",
		"dnat_out: nat hook 3 at -100",
		"dnat_in: nat hook 0 at -100",
		"refuse_out: filter hook 3 at 0",
		"refuse_forward: filter hook 2 at -10",
		"dnat_out: meta:oifname cmp" SBX0 " meta:l4proto cmp=06 payload:2+2/2 cmp=0035 immediate1=c6120001 immediate2=0035 nat",
		"dnat_out: meta:oifname cmp" SBX0 " meta:l4proto cmp=11 payload:2+2/2 cmp=0035 immediate1=c6120001 immediate2=0035 nat",
		"dnat_out: meta:oifname cmp" SBX0 " meta:l4proto cmp=06 immediate1=c6120001 immediate2=1234 nat",
		"dnat_in: fib cmp" SBX0 " meta:l4proto cmp=06 payload:2+2/2 cmp=0035 immediate1=c6120001 immediate2=0035 nat",
		"dnat_in: fib cmp" SBX0 " meta:l4proto cmp=11 payload:2+2/2 cmp=0035 immediate1=c6120001 immediate2=0035 nat",
		"dnat_in: fib cmp" SBX0 " meta:l4proto cmp=06 immediate1=c6120001 immediate2=1234 nat",
		"refuse_out: meta:oifname cmp" SBX0 " payload:1+16/4 cmp!c6120001 reject",
		"refuse_forward: meta:oifname cmp" SBX0 " reject",
		"end",
	};
	struct netfilter f = { .device = "sbx0", .address = 0xc6120001, .port = 0x1234, .dns_port = 53 };
	struct netlink l = { .fd = -1, .seq = 1 };
	const uint8_t *at;
	size_t left, i;

	buf_init(&l.out, NETLINK_BYTES);
	netfilter_encode(&l, &f);
	assert_int_equal(l.error, 0);
	at = buf_bytes(&l.out);
	left = buf_len(&l.out);
	for (i = 0; left > 0; i++) {
		size_t fixed = sizeof(struct nlmsghdr) + sizeof(struct nfgenmsg);
		char got[512] = "";
		struct nlmsghdr h;
		struct span attrs;

		assert_true(left >= fixed && i < sizeof(wanted) / sizeof(wanted[0]));
		memcpy(&h, at, sizeof(h));
		assert_true(h.nlmsg_len >= fixed && h.nlmsg_len <= left && h.nlmsg_len % 4 == 0);
		assert_int_equal(h.nlmsg_seq, i + 1);
		attrs = (struct span){ at + fixed, h.nlmsg_len - fixed };
		if (h.nlmsg_type == NFNL_MSG_BATCH_BEGIN)
			(void)snprintf(got, sizeof(got), "begin");
		else if (h.nlmsg_type == NFNL_MSG_BATCH_END)
			(void)snprintf(got, sizeof(got), "end");
		else if (h.nlmsg_type == NFT(NFT_MSG_NEWCHAIN))
			chain_text(got, attrs);
		else if (h.nlmsg_type == NFT(NFT_MSG_NEWRULE))
			rule_text(got, attrs);
		else
			(void)snprintf(got, sizeof(got), "%s", h.nlmsg_type == NFT(NFT_MSG_NEWTABLE) ? "table" : "no table");
		assert_string_equal(got, wanted[i]);
		at += h.nlmsg_len;
		left -= h.nlmsg_len;
	}
	assert_int_equal(i, sizeof(wanted) / sizeof(wanted[0]));
	assert_int_equal(l.acks, i - 2);
	netlink_close(&l);
}

static void attributes_are_aligned(void **state)
{
	struct netlink l = { .fd = -1, .seq = 7 };
	struct rtmsg fixed = { .rtm_family = 2 };
	struct span all, nest;
	struct nlmsghdr h;
	size_t n;

	buf_init(&l.out, NETLINK_BYTES);
	netlink_begin(&l, RTM_NEWROUTE, NLM_F_ACK, &fixed, sizeof(fixed));
	netlink_put_u8(&l, 1, 9);
	n = netlink_nest(&l, 2);
	netlink_put_str(&l, 3, "dummy");
	netlink_put_u32(&l, 4, 0x01020304);
	netlink_unnest(&l, n);
	netlink_end(&l);
	memcpy(&h, buf_bytes(&l.out), sizeof(h));
	assert_int_equal(h.nlmsg_len, buf_len(&l.out));
	assert_int_equal(h.nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK);
	all = (struct span){ buf_bytes(&l.out) + sizeof(h) + sizeof(fixed), h.nlmsg_len - sizeof(h) - sizeof(fixed) };
	assert_int_equal(attr(all, 1).n, 1);
	nest = attr(all, 2);
	assert_string_equal(text(attr(nest, 3)), "dummy");
	assert_int_equal(attr(nest, 4).n, 4);
	netlink_close(&l);
}

static void too_much_is_an_error_of_the_run(void **state)
{
	static const uint8_t big[1000];
	struct netlink l;

	assert_int_equal(netlink_open(&l, NETLINK_ROUTE), 0);
	netlink_begin(&l, RTM_NEWLINK, NLM_F_ACK, big, 16);
	for (int i = 0; i < 20; i++)
		netlink_put(&l, 1, big, sizeof(big));
	netlink_end(&l);
	assert_int_equal(netlink_run(&l), -EMSGSIZE);
	assert_int_equal(buf_len(&l.out), 0);
	netlink_close(&l);
}

/* A device that does not exist, asked for by root or by anybody. */
static void the_kernel_may_refuse(void **state)
{
	struct ifinfomsg i = { .ifi_index = 0x7ffffff0 };
	struct netlink l;
	int r;

	assert_int_equal(netlink_open(&l, NETLINK_ROUTE), 0);
	netlink_begin(&l, RTM_SETLINK, NLM_F_ACK, &i, sizeof(i));
	netlink_end(&l);
	r = netlink_run(&l);
	assert_true(r == -ENODEV || r == -EPERM);
	netlink_close(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_is_what_is_meant),
		cmocka_unit_test(attributes_are_aligned),
		cmocka_unit_test(too_much_is_an_error_of_the_run),
		cmocka_unit_test(the_kernel_may_refuse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
