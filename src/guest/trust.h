/* SPDX-License-Identifier: Apache-2.0
 *
 * trust: the sandbox's own CA among those that its programs trust.
 */
#ifndef SBX_GUEST_TRUST_H
#define SBX_GUEST_TRUST_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "guest/vars.h"

#define TRUST_PEM_MAX (64 * 1024)
#define TRUST_HASH 9 /* 8 hexadecimal digits and NUL */
#define TRUST_BUNDLE "/etc/ssl/certs/ca-certificates.crt"

/* Whether text is nothing but certificates in PEM (RFC 7468), one or more: armour lines and base64. What the base64 holds
 * is not looked into. */
bool trust_is_pem(const char *text);
/* A bundle without the certificates of old (NULL: none) and with those of pem, once, at its end. Owned; NULL on -ENOMEM. */
char *trust_merge(const char *bundle, const char *old, const char *pem);
/* Whether s is what OpenSSL calls a certificate in a directory: 8 hexadecimal digits in lower case. */
bool trust_is_hash(const char *s);
/* Puts pem into the system's bundle, where OpenSSL finds it by its hash ("": not known) and update-ca-certificates and the
 * hooks of a Java runtime do, and, where there is one, into the store of Debian's Java runtimes: *ret_java is negative
 * where that could not be done, which is no reason not to go on. */
int trust_install(const char *pem, const char *hash, int *ret_java, struct err *err);
/* Appends to out what becomes of Debian's Java store; see jks_put for what it returns. pem: as trust_is_pem allows it. */
int trust_java(const uint8_t *store, size_t n, const char *pem, int64_t now_ms, struct buf *out);
/* The variables by which programs that do not read the bundle on their own are told: 0, -ENOMEM, -E2BIG. */
int trust_vars(struct vars *v, const char *pem);

#endif
