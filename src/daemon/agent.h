/* SPDX-License-Identifier: Apache-2.0
 *
 * agent: the programs a sandbox can be made for, as a table.
 */
#ifndef SBX_DAEMON_AGENT_H
#define SBX_DAEMON_AGENT_H

#include "base/err.h"

struct agent {
	const char *name;
	const char *const *command; /* NULL-terminated argv in the guest */
	const char *description;
};

/* The agent of that name, or NULL with a not_found error that lists the known ones. */
const struct agent *agent_find(const char *name, struct err *err);

#endif
