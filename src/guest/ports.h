/* SPDX-License-Identifier: Apache-2.0
 *
 * ports: the virtio-serial ports by which the doors come in, found by name.
 *
 * A port is always used non-blocking: a blocking write makes the kernel spin with interrupts off until the host has
 * taken the bytes.
 */
#ifndef SBX_GUEST_PORTS_H
#define SBX_GUEST_PORTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* Waits for the port to appear and opens it (non-blocking, CLOEXEC). */
int ports_open(const char *name, uint64_t deadline_ms, struct err *err);
/* Whether the host's end is connected. */
bool ports_connected(int fd);
/* A descriptor that becomes readable when the host's end of fd changes; owned by the caller. */
int ports_watch(int fd);
/* Eats what made the descriptor of ports_watch readable. */
void ports_watch_clear(int watch_fd);
/* Blocks until the host's end is connected: 0, -ETIMEDOUT or -errno. */
int ports_wait_host(int fd, uint64_t deadline_ms);

#endif
