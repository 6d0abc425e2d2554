/* SPDX-License-Identifier: Apache-2.0
 *
 * netguest: the guest's side of the network door without a machine: the same netgate, in the network namespace that it is
 * started in, so that ordinary programs there reach whatever serves the other end of the door.
 *
 *   ip netns add N
 *   ip netns exec N netguest [--kind KIND] [--no-device] (--connect SOCKET | --fd NUMBER)
 *
 * --connect SOCKET  the door is a Unix stream socket, connected to again whenever the session ends
 * --fd NUMBER       the door is an inherited stream socket; with its session all ends
 * --kind KIND       the device's kind: dummy, as in a machine; where the host's kernel has none, veth does as well
 * --no-device       makes no device and no nftables: the caller gave 198.18.0.1 to some device; only the name server
 *                   and the forward proxy's address work, transparent connections do not
 *
 * It says "ready" on stdout when it listens, "open" and "lost" when a session began and ended, and runs until TERM. What
 * /etc/resolv.conf says in the namespace is the caller's (/etc/netns/N/resolv.conf: "nameserver 198.18.0.1").
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "guest/netdev.h"
#include "guest/netfilter.h"
#include "guest/netgate.h"

struct options {
	const char *kind, *connect;
	int fd;
	bool no_device;
};

struct stand_in {
	struct options options;
	struct netgate *gate;
	bool open;
};

static int open_door(void *user)
{
	struct stand_in *s = user;
	auto_fd int root = -1;

	if (!s->options.connect)
		return s->options.fd < 0 ? -ECONNREFUSED : TAKE_FD(s->options.fd);
	root = open(s->options.connect[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return root < 0 ? -errno : io_unix_connect(root, s->options.connect);
}

static void on_turn(uv_prepare_t *h)
{
	struct stand_in *s = h->data;
	bool open = netgate_is_open(s->gate);

	if (open == s->open)
		return;
	s->open = open;
	(void)puts(open ? "open" : "lost");
	(void)fflush(stdout);
	if (!open && !s->options.connect)
		uv_stop(h->loop);
}

static void on_signal(uv_signal_t *h, int number)
{
	uv_stop(h->loop);
}

static int parse(int argc, char **argv, struct options *o)
{
	static const struct option table[] = { { "kind", required_argument, NULL, 'k' },
					       { "connect", required_argument, NULL, 'c' },
					       { "fd", required_argument, NULL, 'f' },
					       { "no-device", no_argument, NULL, 'n' },
					       { 0 } };
	uint64_t fd;
	int c;

	*o = (struct options){ .kind = "dummy", .fd = -1 };
	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (c == 'k')
			o->kind = optarg;
		else if (c == 'c')
			o->connect = optarg;
		else if (c == 'n')
			o->no_device = true;
		else if (c == 'f' && str_u64(optarg, 65535, &fd) == 0)
			o->fd = (int)fd;
		else
			return -1;
	}
	return optind == argc && (o->connect != NULL) != (o->fd >= 0) ? 0 : -1;
}

static int set_up(struct stand_in *s, uv_loop_t *loop, struct err *err)
{
	static const struct netdoor_port door = { .open = open_door };
	struct netgate_config c = { .loop = loop, .seed = "netguest", .address = NETGATE_ADDRESS, .port = NETGATE_PORT,
				    .proxy_port = NETGATE_PROXY_PORT, .dns_port = NETGATE_DNS_PORT, .door = &door,
				    .door_user = s };
	struct netfilter f = { .device = NETDEV_NAME, .address = NETGATE_ADDRESS, .port = NETGATE_PORT,
			       .dns_port = NETGATE_DNS_PORT };
	int r = 0;

	if (!s->options.no_device) {
		r = netdev_up(s->options.kind, NETGATE_ADDRESS, NETGATE_PREFIX, err);
		if (r == 0)
			r = netfilter_apply(&f, err);
	}
	return r < 0 ? r : netgate_start(&c, &s->gate, err);
}

int main(int argc, char **argv)
{
	static struct stand_in s;
	struct err err = { 0 };
	uv_prepare_t turn;
	uv_signal_t term;
	uv_loop_t loop;

	if (parse(argc, argv, &s.options) < 0) {
		(void)fprintf(stderr, "usage: netguest [--kind KIND] [--no-device] (--connect SOCKET | --fd NUMBER)\n");
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	if (uv_loop_init(&loop) != 0)
		return 1;
	if (set_up(&s, &loop, &err) < 0) {
		(void)fprintf(stderr, "netguest: %s\n", err.msg);
		return 1;
	}
	(void)uv_signal_init(&loop, &term);
	(void)uv_signal_start(&term, on_signal, SIGTERM);
	(void)uv_prepare_init(&loop, &turn);
	turn.data = &s;
	(void)uv_prepare_start(&turn, on_turn);
	(void)puts("ready");
	(void)fflush(stdout);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	return 0;
}
