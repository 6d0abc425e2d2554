/* SPDX-License-Identifier: Apache-2.0
 *
 * confine: the system calls that a running sbx-proxy may make (seccomp). What serves sockets and the log is allowed; names of files, programs,
 * threads, tracing, namespaces, keys, bpf and io_uring end the process; everything else is EPERM.
 */
#ifndef SBX_PROXY_CONFINE_H
#define SBX_PROXY_CONFINE_H

#include "base/err.h"

/* For the rest of the process's life. */
int confine_install(struct err *err);

#endif
