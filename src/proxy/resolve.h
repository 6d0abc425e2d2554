/* SPDX-License-Identifier: Apache-2.0
 *
 * resolve: names to addresses, by c-ares from the name servers that sbx-vm gave; the only thing in sbx-proxy that sends a DNS query, and only
 * for a name that the policy has allowed. No hosts file, no search list, no name without a dot. A and AAAA at the same time,
 * RESOLVE_TOTAL_MS in all. Answers are kept for their TTL, at most 60 s, failures 5 s; at most RESOLVE_CACHE names. A name
 * that is being looked up is not looked up twice. More than RESOLVE_RATE new names a second: "limit".
 */
#ifndef SBX_PROXY_RESOLVE_H
#define SBX_PROXY_RESOLVE_H

#include <stddef.h>
#include <uv.h>

#include "base/err.h"
#include "policy/address.h"

#define RESOLVE_ADDRESSES 16 /* of each family */
#define RESOLVE_TOTAL_MS 5000
#define RESOLVE_CACHE 1024
#define RESOLVE_RATE 100
#define RESOLVE_WAITS 1024
#define RESOLVE_SERVERS 3

struct resolve;
struct resolve_wait;

struct resolve_result {
	const struct address *addresses; /* borrowed for the call; IPv6 first, each family in the order of the answer */
	size_t n;                        /* 0: error says why */
	const char *error;               /* static: "unresolved", "limit" */
};

typedef void resolve_done(void *user, const struct resolve_result *r);

struct turn;
/* NULL: out of memory, or c-ares does not work. */
struct resolve *resolve_new(uv_loop_t *loop, struct turn *turn);
/* Waits that are left are dropped. */
void resolve_free(struct resolve *r);
/* "1.2.3.4", "1.2.3.4:53", "[v6]:53"; the first RESOLVE_SERVERS are used. Forgets what was known. -EINVAL: as before. */
int resolve_set_servers(struct resolve *r, const char *const *servers, size_t n, struct err *err);
/* host is canonical (wire/dest.h). done is called once, from the loop. NULL: out of memory or too many. */
struct resolve_wait *resolve_start(struct resolve *r, const char *host, resolve_done *done, void *user);
void resolve_cancel(struct resolve_wait *w);

#endif
