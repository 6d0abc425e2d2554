/* SPDX-License-Identifier: Apache-2.0
 *
 * network: see network.h. The order: a device and nftables first, so that at no time anything finds a route and no rule.
 */
#include "guest/network.h"

#include <errno.h>
#include <string.h>

#include "base/io.h"
#include "base/own.h"
#include "guest/ident.h"
#include "guest/netdev.h"
#include "guest/netfilter.h"
#include "guest/netgate.h"
#include "guest/ports.h"

#define PORT "sbx.net"
#define PORT_TIMEOUT_MS 10000
#define ADDRESS "198.18.0.1"
#define GATEWAY "gateway.docker.internal"
#define PROXY_URL "http://" GATEWAY ":3128"
#define NO_PROXY "localhost,127.0.0.1,::1"

/* Owned: of network_open, for the first session. To open the port only to close it again would lose what the host has
 * said by then. */
static int first_port = -1;

static int open_port(void *user)
{
	struct err err;

	if (first_port >= 0)
		return TAKE_FD(first_port);
	return ports_open(PORT, io_now_ms(), &err); /* looks once */
}

static const struct netdoor_port door = {
	.open = open_port, .connected = ports_connected, .watch = ports_watch, .watch_clear = ports_watch_clear,
};

int network_open(struct err *err)
{
	struct netfilter f = { .device = NETDEV_NAME, .address = NETGATE_ADDRESS, .port = NETGATE_PORT,
			       .dns_port = NETGATE_DNS_PORT };
	int r;

	if ((r = netfilter_apply(&f, err)) < 0 || (r = netdev_up("dummy", NETGATE_ADDRESS, NETGATE_PREFIX, err)) < 0)
		return r;
	first_port = ports_open(PORT, io_now_ms() + PORT_TIMEOUT_MS, err);
	return first_port < 0 ? first_port : 0;
}

int network_prepare(struct err *err)
{
	return ident_network(ADDRESS, GATEWAY, err);
}

int network_start(struct guest *g, struct err *err)
{
	struct netgate_config c = { .loop = &g->loop, .address = NETGATE_ADDRESS, .port = NETGATE_PORT,
				    .proxy_port = NETGATE_PROXY_PORT, .dns_port = NETGATE_DNS_PORT, .door = &door };

	/* Half of the sandbox's own random id: what chooses the addresses of names has to be the same at the next start. */
	memcpy(c.seed, g->setup.machine_id, sizeof(c.seed));
	return netgate_start(&c, &g->net, err);
}

int network_vars(struct vars *v)
{
	static const struct {
		const char *name, *value;
	} table[] = { { "HTTP_PROXY", PROXY_URL },  { "HTTPS_PROXY", PROXY_URL }, { "http_proxy", PROXY_URL },
		      { "https_proxy", PROXY_URL }, { "NO_PROXY", NO_PROXY },	  { "no_proxy", NO_PROXY },
		      { "NODE_USE_ENV_PROXY", "1" } };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(table); i++)
		r = vars_set(v, table[i].name, table[i].value);
	return r;
}
