/* SPDX-License-Identifier: Apache-2.0
 *
 * jail: what a helper may see, as a command line for bubblewrap. Inside: own user, mount, pid, net, ipc, uts and
 * cgroup namespaces; an empty read-only root that holds the program, the system's folder of libraries (packages'
 * files, which every user of the host may read), and what the caller adds; no capability; an empty environment; death with its parent. Everything else reaches the
 * program as descriptors.
 */
#ifndef SBX_VM_JAIL_H
#define SBX_VM_JAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <uv.h>

#include "base/err.h"

#define JAIL_MAX_ARGS 512

struct jail {
	const char *argv[JAIL_MAX_ARGS]; /* for spawn; NULL-terminated */
	size_t n;
	char *owned[JAIL_MAX_ARGS]; /* strings that argv borrows */
	size_t nowned;
	const char *program; /* its path in the jail; borrowed from the caller or owned */
	int info_rd, info_wr; /* bwrap writes the inner pid there as JSON */
	bool full;            /* an argument did not fit or memory ran out: jail_finish fails */
};

enum jail_flags {
	JAIL_PROC = 1,       /* mount /proc of the jail's own pid namespace */
	JAIL_NETWORK = 4, /* the host's network is shared; abstract Unix sockets with it, which the program's own filter must refuse */
	JAIL_FILE_OWNER = 2, /* started by root: no user namespace, but CAP_DAC_OVERRIDE and CAP_FOWNER and no other */
};

/* Starts a jail for a program: finds bwrap, binds the program and the libraries. A program that is not below /usr stands
 * in the jail's root. */
int jail_init(struct jail *j, const char *program, unsigned flags, struct err *err);
/* One more argument for bwrap or, after jail_run, for the program; the string is copied. */
void jail_arg(struct jail *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Makes a host path visible read-only at the same path; a missing one is skipped. */
void jail_show(struct jail *j, const char *path);
/* Ends bwrap's own arguments and names the program; what follows by jail_arg are its arguments. It will get nfds
 * descriptors. */
void jail_run(struct jail *j, size_t nfds);
/* Starts it with fds[i] as descriptor 3 + i (nfds as told to jail_run). *ret_pidfd is bwrap's; jail_pid tells the program's own pid. */
int jail_start(struct jail *j, const int *fds, size_t nfds, int stderr_fd, int *ret_pidfd, struct err *err);
/* The program's pid on the host, read from bwrap (waits at most timeout_ms); negative where bwrap failed. */
pid_t jail_pid(struct jail *j, int timeout_ms);
void jail_done(struct jail *j);

#endif
