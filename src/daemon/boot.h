/* SPDX-License-Identifier: Apache-2.0
 *
 * boot: makes a supervisor: checks what the machine needs, writes its spec, and spawns `sbx-vm` with the spec on
 * descriptor 3 and its listening socket on 4. Also the other end of a supervisor's life: whether one is alive at all,
 * and the last resort against one that does not answer.
 */
#ifndef SBX_DAEMON_BOOT_H
#define SBX_DAEMON_BOOT_H

#include "base/err.h"
#include "daemon/sandbox.h"

/* Spawns the supervisor of a stopped sandbox; *ret_timeout_ms is how long the start may take. On failure nothing runs
 * and no socket is left. */
int boot_spawn(struct sandbox *s, uint64_t *ret_timeout_ms, struct err *err);
/* Whether a process still holds the lock of this sandbox's machine. */
bool boot_is_alive(const struct sandbox *s);
/* SIGKILL to its supervisor, found by its command line and verified through a pidfd. How many were hit. */
int boot_kill(const struct sandbox *s);
/* Removes the socket of a supervisor that is gone. */
void boot_unlink_socket(const struct sandbox *s);

#endif
