/* SPDX-License-Identifier: Apache-2.0
 *
 * resolvconf: the name servers of the host's /etc/resolv.conf (resolv.conf(5)), in the form of the proxy's control
 * message: "1.2.3.4" and "[2001:db8::1]:53".
 */
#ifndef SBX_VM_RESOLVCONF_H
#define SBX_VM_RESOLVCONF_H

#include <jansson.h>

#define RESOLVCONF_MAX_SERVERS 8

/* A new array of at least one string; what is no address is left out, and where nothing is left the resolver's own
 * default stands there, 127.0.0.1. NULL on -ENOMEM. */
json_t *resolvconf_servers(const char *text);

#endif
