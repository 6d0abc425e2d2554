/* SPDX-License-Identifier: Apache-2.0
 *
 * trust: the sandbox's own CA among those that its programs trust.
 */
#ifndef SBX_GUEST_TRUST_H
#define SBX_GUEST_TRUST_H

#include <stdbool.h>

#include "base/err.h"
#include "guest/vars.h"

#define TRUST_PEM_MAX (64 * 1024)
#define TRUST_BUNDLE "/etc/ssl/certs/ca-certificates.crt"

/* Whether text is nothing but certificates in PEM (RFC 7468), one or more: armour lines and base64. What the base64 holds
 * is not looked into. */
bool trust_is_pem(const char *text);
/* A bundle without the certificates of old (NULL: none) and with those of pem, once, at its end. Owned; NULL on -ENOMEM. */
char *trust_merge(const char *bundle, const char *old, const char *pem);
/* Puts pem into the system's bundle, and where update-ca-certificates and the hooks of a Java runtime find it. */
int trust_install(const char *pem, struct err *err);
/* The variables by which programs that do not read the bundle on their own are told: 0, -ENOMEM, -E2BIG. */
int trust_vars(struct vars *v, const char *pem);

#endif
