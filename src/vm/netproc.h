/* SPDX-License-Identifier: Apache-2.0
 *
 * netproc: the process `sbx-proxy` in its jail: no file but the program and its libraries, the host's network, three
 * descriptors.
 */
#ifndef SBX_VM_NETPROC_H
#define SBX_VM_NETPROC_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <uv.h>

#include "base/err.h"
#include "vm/console.h"

struct netproc {
	uv_loop_t *loop; /* borrowed */
	int pidfd; /* the jail's; owned; -1: there is none */
	pid_t pid; /* the program's own; negative where the jail failed */
	uv_poll_t *exit;      /* owned; watches pidfd */
	struct console *said; /* owned; its stderr */
};

/* An embedded one without a process. */
void netproc_init(struct netproc *p, uv_loop_t *loop);
/* Starts it for sandbox id; fds (door, control, keeper) stay the caller's. ended is called once, from the loop and with user
 * as its handle's data, when the process has ended; netproc_bury is due then. On failure netproc_bury is due, too. */
int netproc_start(struct netproc *p, const char *id, const int fds[3], uv_poll_cb ended, void *user, struct err *err);
void netproc_kill(const struct netproc *p);
/* Kills it where it lives, waits for its end, and lets go of everything. words: its status and last line. */
void netproc_bury(struct netproc *p, char *words, size_t size);

#endif
