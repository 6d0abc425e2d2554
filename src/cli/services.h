/* SPDX-License-Identifier: Apache-2.0
 *
 * services: well-known APIs: the variables in which their programs look for a key, the hosts, and the header that carries it. From each
 * provider's public documentation.
 */
#ifndef SBX_CLI_SERVICES_H
#define SBX_CLI_SERVICES_H

#include "wire/secretmsg.h"

/* Fills all but sandbox. 0, or -ENOENT: no such service. */
int services_find(const char *name, struct secretmsg_secret *ret);
/* "anthropic, cursor, ..." */
const char *services_names(void);

/* The i-th service's name; NULL: there are no more. */
const char *services_name(size_t i);

#endif
