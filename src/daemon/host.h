/* SPDX-License-Identifier: Apache-2.0
 *
 * host: what a sandbox needs of this host and what is quick to see, so that it is said before the minutes that a base
 * template takes and not after them.
 */
#ifndef SBX_DAEMON_HOST_H
#define SBX_DAEMON_HOST_H

#include "base/err.h"
#include "daemon/daemon.h"

/* 0 where QEMU and bubblewrap are there the state directory can take a sandbox, and there is memory to start one
 * (admission.h); else ERR_UNAVAILABLE, or what the
 * state directory's error is, naming the thing and the remedy. Changes nothing. */
int host_ready(const struct daemon *d, struct err *err);

#endif
