/* SPDX-License-Identifier: Apache-2.0
 *
 * creds: which hosts this sandbox has credentials for, as the keeper says, and the question for one. No value is kept here: the keeper is
 * asked at each request (docs/secrets.md). The list is asked for at the start, on each new connection to the keeper, and whenever
 * the keeper says that it has changed. Before the first answer of a keeper that is there every https destination counts as bound: better
 * a connection looked into for nothing than one that escapes.
 */
#ifndef SBX_PROXY_CREDS_H
#define SBX_PROXY_CREDS_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/decide.h"
#include "proxy/mint.h"
#include "wire/secretmsg.h"

struct creds;

/* Both borrowed. NULL: out of memory. */
struct creds *creds_new(struct mint *m, struct decide *d);
void creds_free(struct creds *c);
/* The keeper is new, or has news. */
void creds_refresh(struct creds *c);

/* Whether requests to it must be seen: https only. */
bool creds_bound(const struct creds *c, const struct dest *d);
/* The secrets in force, as they were last told; borrowed. */
const struct secretmsg_list *creds_list(const struct creds *c);
/* Secrets that were in force once, as far as they are remembered (SECRETMSG_MAX): their placeholders are still nobody's; borrowed. */
const struct secretmsg_list *creds_gone(const struct creds *c);
/* Counts the keeper's news: what was asked for before it may be void. */
uint64_t creds_generation(const struct creds *c);

/* What a request to d gets; path canonical. done is called as of mint_ask, with secretmsg_decode_injection's input. NULL: it cannot be
 * asked. mint_cancel ends it. */
struct mint_wait *creds_ask(struct creds *c, const struct dest *d, const char *path, mint_reply *done, void *user);

#endif
