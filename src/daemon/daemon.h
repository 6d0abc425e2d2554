/* SPDX-License-Identifier: Apache-2.0
 *
 * daemon: `sandboxd`, one per user: one libuv loop; the only other threads close files. It holds the registry, starts supervisors and watches
 * them; it never reads a byte of a guest. Supervisors outlive it, and the next daemon finds them again.
 */
#ifndef SBX_DAEMON_DAEMON_H
#define SBX_DAEMON_DAEMON_H

#include <stdbool.h>
#include <uv.h>

#include "base/env.h"
#include "base/filemark.h"
#include "daemon/disk.h"
#include "daemon/store.h"

struct build;
struct layer;
struct rules;
struct sandbox;
struct server;
struct spare;

/* What sbx-image last looked at where it had nothing to do: itself, in which the recipe is, and the manifest. */
struct daemon_template {
	struct filemark tool, manifest;
};

struct daemon {
	uv_loop_t loop;
	struct env_dirs dirs;
	int runtime_fd; /* owned: RUNTIME */
	int vm_fd;      /* owned: RUNTIME/vm, the supervisors' sockets */
	int lock_fd;    /* owned: RUNTIME/sandboxd.lock, locked while we live */
	struct disk_home disks;
	struct store *store;       /* owned */
	struct sandbox *sandboxes; /* owned list, by name */
	struct rules *rules;       /* owned: the network policy */
	struct build *build;       /* owned by itself: the running template build, or NULL */
	struct daemon_template whole; /* all zero: not known */
	struct layer *layers;      /* owned by themselves: the running builds of agents' layers */
	struct server *server;     /* owned */
	struct spare *spare;       /* owned by itself: see spare.h */
	uv_signal_t term, interrupt;
	uv_timer_t deadline; /* of the shutdown */
	char started_at[STORE_TIME_SIZE];
	bool locked; /* the lock is ours */
	bool stopping;
};

int daemon_main(int argc, char **argv);

/* Begins an orderly end: accepts nothing more, lets what runs finish for at most 10 s. Idempotent. */
void daemon_shutdown(struct daemon *d);
/* server: the last connection of a stopping daemon is gone. */
void daemon_idle(struct daemon *d);

#endif
