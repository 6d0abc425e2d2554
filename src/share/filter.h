/* SPDX-License-Identifier: Apache-2.0
 *
 * filter: the system calls that a running sbx-fs may make (seccomp). What serves files is allowed; starting programs or
 * threads, sockets, tracing, mounts, namespaces, keys, bpf and io_uring end the process; everything else is EPERM.
 */
#ifndef SBX_SHARE_FILTER_H
#define SBX_SHARE_FILTER_H

#include "base/err.h"

/* For the rest of the process's life. */
int filter_install(struct err *err);

#endif
