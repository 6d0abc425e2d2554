/* SPDX-License-Identifier: Apache-2.0
 *
 * creds: which hosts this sandbox has credentials for, as the keeper says, and the question for one. No value is kept here: the keeper is
 * asked at each request (docs/secrets.md). The list is asked for at the start, on each new connection to the keeper, and whenever
 * the keeper says that it has changed. Before the first answer of a keeper that is there, or is to be, every https destination counts as
 * bound: better a connection looked into for nothing, or refused, than one that escapes.
 */
#ifndef SBX_PROXY_CREDS_H
#define SBX_PROXY_CREDS_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/decide.h"
#include "proxy/mint.h"
#include "wire/oauthmsg.h"
#include "wire/secretmsg.h"

struct creds;

/* Both borrowed. NULL: out of memory. */
struct creds *creds_new(struct mint *m, struct decide *d);
void creds_free(struct creds *c);
/* There is to be a keeper, even while there is none. */
void creds_await(struct creds *c);
/* The keeper is new, or has news. */
void creds_refresh(struct creds *c);

/* Whether requests to it must be seen: https only. */
bool creds_bound(const struct creds *c, const struct dest *d);
/* Whether a secret is for it. */
bool creds_has(const struct creds *c, const struct dest *d);
/* Whether a secret for it is for some of its paths only: what the server sees must be what was compared. */
bool creds_by_path(const struct creds *c, const struct dest *d);
/* Whether the keeper, if there is one, has said what can be signed in at. */
bool creds_settled(const struct creds *c);
/* The secrets in force, as they were last told; borrowed. */
const struct secretmsg_list *creds_list(const struct creds *c);
/* Secrets that were in force once, as far as they are remembered (SECRETMSG_MAX): their placeholders are still nobody's; borrowed. */
const struct secretmsg_list *creds_gone(const struct creds *c);
/* Counts the keeper's news: what was asked for before it may be void. */
uint64_t creds_generation(const struct creds *c);

/* What can be signed in at (wire/oauthdef.h); borrowed. */
const struct oauthdef_list *creds_signins(const struct creds *c);
/* Says something of sign-ins to the keeper: mint_ask. */
struct mint_wait *creds_say(struct creds *c, const struct oauthmsg_request *q, mint_reply *done, void *user);

/* What a request to d gets; path canonical; has: the placeholder that it brings, NULL: none. done is called as of mint_ask, with secretmsg_decode_injection's input. NULL: it cannot be
 * asked. mint_cancel ends it. */
struct mint_wait *creds_ask(struct creds *c, const struct dest *d, const char *path, const char *has, mint_reply *done, void *user);

#endif
