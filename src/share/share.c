/* SPDX-License-Identifier: Apache-2.0
 *
 * share: see share.h.
 */
#include "share/share.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/env.h"
#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "share/filter.h"
#include "share/fs.h"
#include "share/restore.h"

#define DOOR_FD 3
#define CONFIG_FD 4

/* Kept free for what is neither a file of the guest nor a cached path: roots, the door, the log. */
#define SPARE_FDS (2 * CONFIG_MAX_ROOTS + 32)

/* All the descriptors that there may be; how many are for the guest. */
static size_t raise_fd_limit(void)
{
	struct rlimit lim = { .rlim_cur = 1024, .rlim_max = 1024 };

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
			(void)getrlimit(RLIMIT_NOFILE, &lim);
	}
	if (lim.rlim_cur > 4 * HANDLE_MAX)
		return 4 * HANDLE_MAX;
	return lim.rlim_cur > 2 * SPARE_FDS ? (size_t)lim.rlim_cur - SPARE_FDS : SPARE_FDS;
}

/* With the session that another one has served. */
static int go_on(struct fs *f, struct err *err)
{
	struct restore_report n;
	int r = restore_state(f, f->config.state_fd, &n, err);

	own_close_p(&f->config.state_fd);
	if (r == 0)
		log_info("event=restored nodes=%zu replaced=%zu gone=%zu kept=%zu handles=%zu lost_handles=%zu stale_handles=%zu locks=%zu lost_locks=%zu "
			 "waits=%zu", n.nodes, n.replaced, n.gone, n.kept, n.handles, n.lost_handles, n.stale_handles, n.locks, n.lost_locks, n.waits);
	return r;
}

static int setup(struct fs *f, struct err *err)
{
	const struct rlimit no_core = { 0 };
	struct config config;
	auto_fd int config_fd = CONFIG_FD;
	int r;

	/* The guest's mode is what it wants, its umask already taken off. */
	(void)umask(0);
	(void)setrlimit(RLIMIT_CORE, &no_core);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	if (fcntl(DOOR_FD, F_SETFD, FD_CLOEXEC) < 0)
		return err_set(err, ERR_INVALID, EBADF, "descriptor %d, the file door, is not open", DOOR_FD);
	r = config_read(config_fd, &config, err);
	if (r == 0)
		r = fs_init(f, &config, DOOR_FD, raise_fd_limit(), err);
	if (r == 0 && f->config.state_fd >= 0) {
		r = go_on(f, err);
		if (r < 0)
			fs_done(f);
	}
	return r;
}

int share_main(int argc, char **argv)
{
	const char *id = argc == 3 && str_eq(argv[1], "--id") ? argv[2] : NULL;
	struct err err = { 0 };
	struct fs f = { 0 };
	int r;

	if (!id) {
		log_error("usage: sbx-fs --id ID, with descriptors 3 and 4 (started by sbx-vm)");
		return 2;
	}
	log_setup("sbx-fs", id, LOG_LEVEL_INFO);
	r = setup(&f, &err);
	if (r < 0) {
		log_error("event=start error=\"%s\"", err.msg);
		return 1;
	}
	log_info("event=start roots=%zu fds=%zu", f.config.nroots, f.handles.max);
	r = filter_install(&err);
	if (r == 0)
		r = door_run(&f.door, &err);
	if (r < 0)
		log_error("event=end error=\"%s\" refused=%llu", err.msg, (unsigned long long)f.door.refused);
	else
		log_info("event=end refused=%llu nodes=%zu handles=%zu", (unsigned long long)f.door.refused,
			 f.tree.nodes.used, f.handles.used);
	fs_done(&f);
	return r < 0 ? 1 : 0;
}
