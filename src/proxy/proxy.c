/* SPDX-License-Identifier: Apache-2.0
 *
 * proxy: see proxy.h.
 */
#include "proxy/proxy.h"

#include <fcntl.h>
#include <signal.h>

#include "base/log.h"
#include "base/str.h"

enum { DOOR_FD = 3, CONTROL_FD = 4, KEEPER_FD = 5 };

static int setup_fds(struct err *err)
{
	static const char *const names[] = { "the network door", "the control socket", "the keeper's connection" };

	for (int fd = DOOR_FD; fd <= KEEPER_FD; fd++)
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return err_set(err, ERR_INVALID, 0, "descriptor %d, %s, is not open", fd, names[fd - DOOR_FD]);
	return 0;
}

int proxy_main(int argc, char **argv)
{
	const char *id = argc == 3 && str_eq(argv[1], "--id") ? argv[2] : NULL;
	struct err err = { 0 };

	if (!id) {
		log_error("usage: sbx-proxy --id ID, with descriptors 3, 4 and 5 (started by sbx-vm)");
		return 2;
	}
	log_setup("sbx-proxy", id, LOG_LEVEL_INFO);
	(void)signal(SIGPIPE, SIG_IGN);
	if (setup_fds(&err) < 0) {
		log_error("event=start error=\"%s\"", err.msg);
		return 1;
	}
	return 1;
}
