/* SPDX-License-Identifier: Apache-2.0
 *
 * netsock: the Unix socket behind the network door. QEMU's chardev listens on it, so that the host's end can be given
 * to one proxy after another. Its name is gone before anybody else could use it: the only way to it is the O_PATH
 * descriptor that netsock_make returns.
 */
#ifndef SBX_VM_NETSOCK_H
#define SBX_VM_NETSOCK_H

#include "base/err.h"

/* Binds in dir, listens, and takes the name away. *ret_listen is for QEMU, *ret_path for netsock_connect; both owned. */
int netsock_make(const char *dir, int *ret_listen, int *ret_path, struct err *err);
/* A new connection, or -errno; -EPERM where somebody of another uid listens. Never waits: -EAGAIN with a full backlog. */
int netsock_connect(int path_fd);

#endif
