/* SPDX-License-Identifier: Apache-2.0
 *
 * netnames: which made-up address stands for which name. There are 65,536 addresses, 198.18.1.0 to 198.19.0.255, in sets
 * of 8. A keyed hash gives a name its set, and it gets the first free place there: so the same sandbox gives the same name
 * the same address again, but for the rare names that meet in one set. A full set lets go of a name that nobody has
 * asked for or connected to for an hour, and of none where there is no such: an address never changes its name under
 * a program that may still hold it. Memory is bounded by the names' number and length.
 */
#ifndef SBX_GUEST_NETNAMES_H
#define SBX_GUEST_NETNAMES_H

#include <stdint.h>

#define NETNAMES_MAX 65536
#define NETNAMES_FIRST 0xc6120100U /* 198.18.1.0 */
#define NETNAMES_IDLE_MS (60ULL * 60 * 1000)

struct netnames;

/* NULL on -ENOMEM. */
struct netnames *netnames_new(const uint8_t seed[16]);
void netnames_free(struct netnames *m);
/* The address (host order) of a name in canonical form (wire/dest.h). -ENOSPC: its set is full; -ENOMEM. */
int netnames_address(struct netnames *m, const char *name, uint64_t now_ms, uint32_t *ret);
/* The name of an address, NULL where none was given it. Borrowed until the next netnames_address. Counts as use where
 * now_ms is not 0. */
const char *netnames_name(struct netnames *m, uint32_t address, uint64_t now_ms);

#endif
