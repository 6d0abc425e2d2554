/* SPDX-License-Identifier: Apache-2.0
 *
 * inject: a credential into a request's head, and none but that. What stands in a field that carries credentials is the placeholder, or
 * the request is refused: whoever could bring his own could carry data to his own account at a host that is allowed.
 */
#ifndef SBX_PROXY_INJECT_H
#define SBX_PROXY_INJECT_H

#include "wire/httpmsg.h"
#include "wire/secretmsg.h"

/* As `none`: the request is to an endpoint where one signs in, where a client may say who it is. */
#define INJECT_SIGN_IN "token"
/* For a host with credentials. i: what the keeper said; where its `none` is set, or becomes it here, nothing is put in. The request loses what would
 * have a response compressed or cut into pieces (it is searched for the value). Into a query it goes in place of the placeholder only, never of nothing. What goes into the body is the caller's to put there. NULL, or why it is refused: "foreign_credential",
 * "placeholder_wrong_host", "limit". */
const char *inject_apply(struct httpmsg *m, struct secretmsg_injection *i, const struct secretmsg_list *all);
/* The placeholder of the list that stands where a credential belongs, borrowed from the list; NULL: none. */
const char *inject_brought(const struct httpmsg *m, const struct secretmsg_list *all);
/* A request that has a credential in that header already, which was changed or removed before the request had left: the new one in its
 * place; or a refusal. */
const char *inject_again(struct httpmsg *m, const char *header, const struct secretmsg_injection *i);
/* Such a refusal in words. */
const char *inject_text(const char *reason);
/* For every other destination: "placeholder_wrong_host" where a placeholder stands in the head, else NULL. */
const char *inject_stray(const struct httpmsg *m, const struct secretmsg_list *all);

#endif
