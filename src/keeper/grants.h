/* SPDX-License-Identifier: Apache-2.0
 *
 * grants: what came of sign-ins inside sandboxes (docs/secrets.md): tokens, each of one sandbox until the user shares it with all. A grant is
 * known by its service and its sandbox; one of the sandbox's own comes before one for all. They are the document STORE_GRANTS of the store,
 * replaced at each change, and its index, which has everything but the tokens: by it requests are refused while the store is locked.
 *
 * Refreshing takes a refresh token out of use, mostly, so only one may do it at a time: who begins gets a ticket, by which he stores what came
 * of it or says that nothing did; it is void after GRANTS_TICKET_MS, and when his connection ends.
 */
#ifndef SBX_KEEPER_GRANTS_H
#define SBX_KEEPER_GRANTS_H

#include "keeper/vault.h"
#include "wire/oauthmsg.h"

#define GRANTS_MAX 32
/* More than a refresh takes at most: a minute in the queue for a connection, 20 s until it stands, a minute for the answer. Who began anew earlier
 * would use the same refresh token twice, for which some services end the sign-in. */
#define GRANTS_TICKET_MS 180000

struct grants;

/* Who asks: a connection that is attached. */
struct grants_peer {
	const char *sandbox;
	uint64_t number; /* of the connection */
	const struct oauthdef_list *services; /* what it may sign in at; NULL: nothing */
};

/* Both borrowed for life. NULL: no memory. */
struct grants *grants_open(struct store *store, struct vault *v);
void grants_free(struct grants *g);
/* A number for a connection, and its end. */
uint64_t grants_number(struct grants *g);
void grants_gone(struct grants *g, uint64_t number);

/* Wipe *ret. ERR_DENIED: a sign-in where the sandbox has a credential for the same hosts already, or a revocation of one that is shared;
 * ERR_NOT_FOUND: there is none. */
int grants_begin(struct grants *g, const struct grants_peer *p, const struct oauthmsg_request *q, struct oauthmsg_begun *ret, struct err *err);
int grants_store(struct grants *g, const struct grants_peer *p, const struct oauthmsg_request *q, struct oauthmsg_given *ret, struct err *err);
/* *ret_removed: it was revoked, and is gone. */
int grants_end(struct grants *g, const struct grants_peer *p, const struct oauthmsg_request *q, bool *ret_removed, struct err *err);

/* Adds to ret those in force for a sandbox, NULL: all, as secrets, as far as they fit. */
int grants_list(struct grants *g, const char *sandbox, struct secretmsg_list *ret, struct err *err);
/* After vault_inject: *i becomes the grant's, where the request brings its placeholder; else only `none` may change. */
int grants_inject(struct grants *g, const char *sandbox, const struct secretmsg_request *q, struct secretmsg_injection *i, struct err *err);
int grants_remove(struct grants *g, const char *service, const char *sandbox, struct err *err);
/* While the store is locked they go when it is unlocked. */
int grants_forget(struct grants *g, const char *sandbox, bool *ret_any, struct err *err);
/* A sandbox's own becomes one for all, in place of such a one. */
int grants_share(struct grants *g, const char *service, const char *sandbox, struct err *err);
/* What a sandbox is to have of the one in force for it. */
int grants_give(struct grants *g, const char *service, const char *sandbox, struct oauthmsg_given *ret, struct err *err);
/* As vault_sync. */
int grants_sync(struct grants *g, struct err *err);

#endif
