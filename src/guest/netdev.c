/* SPDX-License-Identifier: Apache-2.0
 *
 * netdev: see netdev.h. rtnetlink(7), with what is there already left as it is. IPv6 is off before the device comes up, so
 * that it says nothing on its own (router solicitations) and no program finds an IPv6 route.
 */
#include "guest/netdev.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include "base/io.h"
#include "base/own.h"
#include "guest/netlink.h"

static int make_device(struct netlink *l, const char *kind)
{
	struct ifinfomsg i = { .ifi_family = AF_UNSPEC };
	size_t info;

	netlink_begin(l, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &i, sizeof(i));
	netlink_put_str(l, IFLA_IFNAME, NETDEV_NAME);
	info = netlink_nest(l, IFLA_LINKINFO);
	netlink_put_str(l, IFLA_INFO_KIND, kind);
	netlink_unnest(l, info);
	netlink_end(l);
	return netlink_run(l);
}

static int bring_up(struct netlink *l, unsigned index)
{
	struct ifinfomsg i = { .ifi_family = AF_UNSPEC, .ifi_index = (int)index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };

	netlink_begin(l, RTM_NEWLINK, NLM_F_ACK, &i, sizeof(i));
	netlink_end(l);
	return netlink_run(l);
}

static int add_address(struct netlink *l, unsigned index, uint32_t address, uint8_t prefix)
{
	struct ifaddrmsg a = { .ifa_family = AF_INET, .ifa_prefixlen = prefix, .ifa_index = index };

	netlink_begin(l, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &a, sizeof(a));
	netlink_put_be32(l, IFA_LOCAL, address);
	netlink_put_be32(l, IFA_ADDRESS, address);
	netlink_end(l);
	return netlink_run(l);
}

static int add_default_route(struct netlink *l, unsigned index, uint32_t source)
{
	struct rtmsg r = { .rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_STATIC,
			   .rtm_scope = RT_SCOPE_LINK, .rtm_type = RTN_UNICAST };

	netlink_begin(l, RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, &r, sizeof(r));
	netlink_put_u32(l, RTA_OIF, index);
	netlink_put_be32(l, RTA_PREFSRC, source);
	netlink_end(l);
	return netlink_run(l);
}

static void no_ipv6(void)
{
	auto_fd int fd = open("/proc/sys/net/ipv6/conf/" NETDEV_NAME "/disable_ipv6", O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)io_write_all(fd, "1", 1);
}

static int configure(struct netlink *l, uint32_t address, uint8_t prefix, struct err *err)
{
	unsigned index = if_nametoindex(NETDEV_NAME);
	int r;

	if (index == 0)
		return err_errno(err, errno, "network: no device %s", NETDEV_NAME);
	no_ipv6();
	/* Where nftables sends connections to is reached by the loopback device. */
	r = bring_up(l, if_nametoindex("lo"));
	if (r == 0)
		r = add_address(l, index, address, prefix);
	if (r == -EEXIST)
		r = 0;
	if (r == 0)
		r = bring_up(l, index);
	if (r == 0)
		r = add_default_route(l, index, address);
	return r < 0 ? err_errno(err, -r, "network: cannot set up the device %s", NETDEV_NAME) : 0;
}

int netdev_up(const char *kind, uint32_t address, uint8_t prefix, struct err *err)
{
	struct netlink l;
	int r = netlink_open(&l, NETLINK_ROUTE);

	if (r < 0)
		return err_errno(err, -r, "network: cannot talk to the kernel");
	r = kind ? make_device(&l, kind) : 0;
	if (r < 0 && r != -EEXIST)
		(void)err_errno(err, -r, "network: cannot make the device %s (%s)", NETDEV_NAME, kind);
	else
		r = configure(&l, address, prefix, err);
	netlink_close(&l);
	return r;
}
