/* SPDX-License-Identifier: Apache-2.0
 *
 * netsock: see netsock.h.
 */
#include "guest/netsock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/own.h"

int netsock_listen(int type, uint32_t address, uint16_t *port, int backlog)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr = { .s_addr = htonl(address) } };
	auto_fd int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t len = sizeof(sa);
	int on = 1;

	if (fd < 0)
		return -errno;
	if (type == SOCK_STREAM)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || (type == SOCK_STREAM && listen(fd, backlog) < 0) ||
	    getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	*port = ntohs(sa.sin_port);
	return TAKE_FD(fd);
}

int netsock_original(int fd, uint32_t *ret_address, uint16_t *ret_port)
{
	struct sockaddr_in sa = { 0 };
	socklen_t len = sizeof(sa);

	if (getsockopt(fd, IPPROTO_IP, SO_ORIGINAL_DST, &sa, &len) < 0)
		return -errno;
	*ret_address = ntohl(sa.sin_addr.s_addr);
	*ret_port = ntohs(sa.sin_port);
	return 0;
}
