/* SPDX-License-Identifier: Apache-2.0
 *
 * checks: what `sbx diagnose` can find out without the daemon.
 */
#ifndef SBX_CLI_CHECKS_H
#define SBX_CLI_CHECKS_H

#include <stdbool.h>

#include "base/env.h"
#include "cli/report.h"

/* Our own programs and data, and those of the system that they call. */
void checks_installation(struct report *r);
/* Kernel, namespaces for the jails, and, where `accelerator` is set (the daemon did not tell), /dev/kvm. */
void checks_platform(struct report *r, bool accelerator);
/* The directories: writable, and how much is free. */
void checks_storage(struct report *r, const struct env_dirs *dirs);

#endif
