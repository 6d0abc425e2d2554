/* SPDX-License-Identifier: Apache-2.0
 *
 * issuer: requests to an OpenID issuer. Its discovery document comes first, and says where the others go.
 */
#ifndef SBX_LOGIN_ISSUER_H
#define SBX_LOGIN_ISSUER_H

#include "login/session.h"

/* Finds out about q.login.issuer. */
int issuer_discover(const struct session *s, struct oidc_issuer *ret, struct err *err);
/* Asks for a code. */
int issuer_device(const struct session *s, const struct oidc_issuer *i, struct oidc_device *ret, struct err *err);
/* One request to the token endpoint. 0: tokens; 1: *ret_error is what it says instead; negative with err. Wipe the tokens. */
int issuer_tokens(const struct session *s, const struct oidc_issuer *i, const struct buf *form, struct oidc_tokens *ret,
		  struct oidc_error *ret_error, struct err *err);
/* The claims of an ID token, once its signature and they were checked. */
int issuer_claims(const struct session *s, const struct oidc_issuer *i, const char *token, struct jws_claims *ret, struct err *err);
/* New tokens by the refresh token, in place of those in secrets; kept. */
int issuer_refresh(struct session *s, struct err *err);
/* "unexpected" as an error: what i says, in words. */
int issuer_refuses(const struct oidc_error *e, const char *what, struct err *err);

#endif
