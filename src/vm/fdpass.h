/* SPDX-License-Identifier: Apache-2.0
 *
 * fdpass: text and descriptors in one message over a Unix socket.
 */
#ifndef SBX_VM_FDPASS_H
#define SBX_VM_FDPASS_H

#include <stddef.h>
#include <sys/types.h>

#define FDPASS_MAX 4

/* Never waits: 0, or -errno (-EAGAIN: the socket is full). The descriptors stay the caller's. */
int fdpass_send(int sock, const void *text, size_t n, const int *fds, size_t nfds);
/* One message of at most size bytes: its length, 0 at the end, or -errno; never waits. Exactly nfds descriptors are in
 * ret_fds (owned by the caller), or all are -1 where another number came. */
ssize_t fdpass_recv(int sock, void *text, size_t size, int *ret_fds, size_t nfds);

#endif
