/* SPDX-License-Identifier: Apache-2.0
 *
 * netfilter: see netfilter.h. The messages of linux/netfilter/nf_tables.h, by hand, as the image's nft cannot be counted on.
 * In the words of nft(8), D the device, A netgate's address:
 *
 *   table ip sbx {
 *     chain dnat_out { type nat hook output priority -100; oifname D ... }             what starts here
 *     chain dnat_in { type nat hook prerouting priority -100; fib daddr oifname D ... } what is forwarded
 *        tcp dport 53 dnat to A:dns    udp dport 53 dnat to A:dns    meta l4proto tcp dnat to A:port
 *     chain refuse_out { type filter hook output priority 0; oifname D ip daddr != A reject }
 *     chain refuse_forward { type filter hook forward priority -10; oifname D reject }
 *   }
 *
 * In the output hook the device is that of the first routing, also after the destination was changed: so refuse_out
 * asks for the address, too. There is no IPv6 part, as there is no IPv6 route.
 */
#include "guest/netfilter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <netinet/ip.h>
#include <netinet/udp.h>

#define TABLE "sbx"
#define OUT "dnat_out"
#define IN "dnat_in"
#define REFUSE_OUT "refuse_out"
#define REFUSE_FORWARD "refuse_forward"

#define PRIORITY_DNAT (-100)   /* NF_IP_PRI_NAT_DST */
#define PRIORITY_FILTER 0      /* NF_IP_PRI_FILTER */
#define PRIORITY_BEFORE (-10)  /* before what a container engine lets through or drops */

static void begin(struct netlink *l, uint8_t type, uint16_t flags)
{
	struct nfgenmsg g = { .nfgen_family = NFPROTO_IPV4, .version = NFNETLINK_V0 };

	netlink_begin(l, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags, &g, sizeof(g));
}

static void batch(struct netlink *l, uint16_t type)
{
	struct nfgenmsg g = { .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htons(NFNL_SUBSYS_NFTABLES) };

	netlink_begin(l, type, 0, &g, sizeof(g));
	netlink_end(l);
}

static void table(struct netlink *l, uint8_t type, uint16_t flags)
{
	begin(l, type, flags);
	netlink_put_str(l, NFTA_TABLE_NAME, TABLE);
	netlink_end(l);
}

static void chain(struct netlink *l, const char *name, const char *type, uint32_t hook, int priority)
{
	size_t nest;

	begin(l, NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_ACK);
	netlink_put_str(l, NFTA_CHAIN_TABLE, TABLE);
	netlink_put_str(l, NFTA_CHAIN_NAME, name);
	nest = netlink_nest(l, NFTA_CHAIN_HOOK);
	netlink_put_be32(l, NFTA_HOOK_HOOKNUM, hook);
	netlink_put_be32(l, NFTA_HOOK_PRIORITY, (uint32_t)priority);
	netlink_unnest(l, nest);
	netlink_put_be32(l, NFTA_CHAIN_POLICY, NF_ACCEPT);
	netlink_put_str(l, NFTA_CHAIN_TYPE, type);
	netlink_end(l);
}

/* ---- one rule and its expressions ---- */

struct rule {
	struct netlink *l;
	size_t list, elem, data;
};

static struct rule rule(struct netlink *l, const char *in)
{
	struct rule r = { .l = l };

	begin(l, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND | NLM_F_ACK);
	netlink_put_str(l, NFTA_RULE_TABLE, TABLE);
	netlink_put_str(l, NFTA_RULE_CHAIN, in);
	r.list = netlink_nest(l, NFTA_RULE_EXPRESSIONS);
	return r;
}

static void rule_end(struct rule *r)
{
	netlink_unnest(r->l, r->list);
	netlink_end(r->l);
}

static void expression(struct rule *r, const char *name)
{
	r->elem = netlink_nest(r->l, NFTA_LIST_ELEM);
	netlink_put_str(r->l, NFTA_EXPR_NAME, name);
	r->data = netlink_nest(r->l, NFTA_EXPR_DATA);
}

static void expression_end(struct rule *r)
{
	netlink_unnest(r->l, r->data);
	netlink_unnest(r->l, r->elem);
}

static void value(struct rule *r, uint16_t type, const void *bytes, size_t n)
{
	size_t nest = netlink_nest(r->l, type);

	netlink_put(r->l, NFTA_DATA_VALUE, bytes, n);
	netlink_unnest(r->l, nest);
}

/* The rule goes on where register 1 is (NFT_CMP_EQ) or is not (NFT_CMP_NEQ) these bytes. */
static void compare(struct rule *r, uint32_t op, const void *bytes, size_t n)
{
	expression(r, "cmp");
	netlink_put_be32(r->l, NFTA_CMP_SREG, NFT_REG_1);
	netlink_put_be32(r->l, NFTA_CMP_OP, op);
	value(r, NFTA_CMP_DATA, bytes, n);
	expression_end(r);
}

static void device_is(struct rule *r, const char *device)
{
	char name[IFNAMSIZ] = "";

	memcpy(name, device, strnlen(device, IFNAMSIZ - 1));
	compare(r, NFT_CMP_EQ, name, sizeof(name));
}

static void load_meta(struct rule *r, uint32_t key)
{
	expression(r, "meta");
	netlink_put_be32(r->l, NFTA_META_DREG, NFT_REG_1);
	netlink_put_be32(r->l, NFTA_META_KEY, key);
	expression_end(r);
}

static void leaves_by(struct rule *r, const char *device)
{
	load_meta(r, NFT_META_OIFNAME);
	device_is(r, device);
}

/* Before the routing: where it would lead. */
static void would_leave_by(struct rule *r, const char *device)
{
	expression(r, "fib");
	netlink_put_be32(r->l, NFTA_FIB_DREG, NFT_REG_1);
	netlink_put_be32(r->l, NFTA_FIB_RESULT, NFT_FIB_RESULT_OIFNAME);
	netlink_put_be32(r->l, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
	expression_end(r);
	device_is(r, device);
}

static void load_payload(struct rule *r, uint32_t base, uint32_t offset, uint32_t n)
{
	expression(r, "payload");
	netlink_put_be32(r->l, NFTA_PAYLOAD_DREG, NFT_REG_1);
	netlink_put_be32(r->l, NFTA_PAYLOAD_BASE, base);
	netlink_put_be32(r->l, NFTA_PAYLOAD_OFFSET, offset);
	netlink_put_be32(r->l, NFTA_PAYLOAD_LEN, n);
	expression_end(r);
}

static void protocol_is(struct rule *r, uint8_t protocol)
{
	load_meta(r, NFT_META_L4PROTO);
	compare(r, NFT_CMP_EQ, &protocol, sizeof(protocol));
}

static void port_is(struct rule *r, uint16_t port)
{
	uint16_t raw = htons(port);

	load_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, offsetof(struct udphdr, dest), sizeof(raw)); /* as in TCP */
	compare(r, NFT_CMP_EQ, &raw, sizeof(raw));
}

static void address_is_not(struct rule *r, uint32_t address)
{
	uint32_t raw = htonl(address);

	load_payload(r, NFT_PAYLOAD_NETWORK_HEADER, offsetof(struct iphdr, daddr), sizeof(raw));
	compare(r, NFT_CMP_NEQ, &raw, sizeof(raw));
}

static void immediate(struct rule *r, uint32_t reg, const void *bytes, size_t n)
{
	expression(r, "immediate");
	netlink_put_be32(r->l, NFTA_IMMEDIATE_DREG, reg);
	value(r, NFTA_IMMEDIATE_DATA, bytes, n);
	expression_end(r);
}

static void dnat(struct rule *r, uint32_t address, uint16_t port)
{
	uint32_t raw_address = htonl(address);
	uint16_t raw_port = htons(port);

	immediate(r, NFT_REG_1, &raw_address, sizeof(raw_address));
	immediate(r, NFT_REG_2, &raw_port, sizeof(raw_port));
	expression(r, "nat");
	netlink_put_be32(r->l, NFTA_NAT_TYPE, NFT_NAT_DNAT);
	netlink_put_be32(r->l, NFTA_NAT_FAMILY, NFPROTO_IPV4);
	netlink_put_be32(r->l, NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
	netlink_put_be32(r->l, NFTA_NAT_REG_PROTO_MIN, NFT_REG_2);
	expression_end(r);
}

static void reject(struct rule *r)
{
	expression(r, "reject");
	netlink_put_be32(r->l, NFTA_REJECT_TYPE, NFT_REJECT_ICMP_UNREACH);
	netlink_put_u8(r->l, NFTA_REJECT_ICMP_CODE, 3); /* port unreachable: "connection refused" */
	expression_end(r);
}

/* ---- the table ---- */

static void dnat_rules(struct netlink *l, const struct netfilter *f, const char *in,
		       void (*to_device)(struct rule *r, const char *device))
{
	const struct {
		uint8_t protocol;
		uint16_t from, to; /* ports; from 0 is any */
	} table[] = { { IPPROTO_TCP, 53, f->dns_port }, { IPPROTO_UDP, 53, f->dns_port }, { IPPROTO_TCP, 0, f->port } };

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct rule r = rule(l, in);

		to_device(&r, f->device);
		protocol_is(&r, table[i].protocol);
		if (table[i].from)
			port_is(&r, table[i].from);
		dnat(&r, f->address, table[i].to);
		rule_end(&r);
	}
}

void netfilter_encode(struct netlink *l, const struct netfilter *f)
{
	struct rule r;

	batch(l, NFNL_MSG_BATCH_BEGIN);
	/* Made where it is missing, so that it can be deleted whatever was there. */
	table(l, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_ACK);
	table(l, NFT_MSG_DELTABLE, NLM_F_ACK);
	table(l, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_ACK);
	chain(l, OUT, "nat", NF_INET_LOCAL_OUT, PRIORITY_DNAT);
	chain(l, IN, "nat", NF_INET_PRE_ROUTING, PRIORITY_DNAT);
	chain(l, REFUSE_OUT, "filter", NF_INET_LOCAL_OUT, PRIORITY_FILTER);
	chain(l, REFUSE_FORWARD, "filter", NF_INET_FORWARD, PRIORITY_BEFORE);
	dnat_rules(l, f, OUT, leaves_by);
	dnat_rules(l, f, IN, would_leave_by);
	r = rule(l, REFUSE_OUT);
	leaves_by(&r, f->device);
	address_is_not(&r, f->address);
	reject(&r);
	rule_end(&r);
	r = rule(l, REFUSE_FORWARD);
	leaves_by(&r, f->device);
	reject(&r);
	rule_end(&r);
	batch(l, NFNL_MSG_BATCH_END);
}

int netfilter_apply(const struct netfilter *f, struct err *err)
{
	struct netlink l;
	int r = netlink_open(&l, NETLINK_NETFILTER);

	if (r == 0) {
		netfilter_encode(&l, f);
		r = netlink_run(&l);
		netlink_close(&l);
	}
	return r < 0 ? err_errno(err, -r, "network: cannot set up nftables") : 0;
}
