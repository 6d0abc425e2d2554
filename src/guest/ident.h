/* SPDX-License-Identifier: Apache-2.0
 *
 * ident: what makes this machine another one than its template: time, random numbers, names.
 */
#ifndef SBX_GUEST_IDENT_H
#define SBX_GUEST_IDENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

int ident_time(uint64_t realtime_ns, struct err *err);
/* Credits the bytes (RNDADDENTROPY, random(4)) and reseeds at once, so that two thawed machines part ways. */
int ident_entropy(const uint8_t *bytes, size_t n, struct err *err);
int ident_hostname(const char *name, struct err *err);
/* /etc/hostname, /etc/hosts, /etc/machine-id, /etc/resolv.conf of the present root; written only where they differ. */
int ident_files(const char *hostname, const char *machine_id, struct err *err);
/* For a sandbox with a network: the name server in /etc/resolv.conf, and gateway's address, which is the same one, in
 * /etc/hosts. What else the user wrote into them stays where they name it already. */
int ident_network(const char *address, const char *gateway, struct err *err);

#endif
