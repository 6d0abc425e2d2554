/* SPDX-License-Identifier: Apache-2.0
 *
 * jks: a Java key store of the type JKS (sun.security.provider.JavaKeyStore of the JDK is its only description), as
 * Debian's /etc/ssl/certs/java/cacerts is one. All numbers big-endian, text as a length of 16 bits and modified UTF-8:
 *
 *   0xfeedfeed, version 1 or 2, number of entries, the entries,
 *   SHA-1 of the password in UTF-16, "Mighty Aphrodite" and everything before
 *   entry  tag 2, alias, ms since 1970 (64 bits), certificate
 *          tag 1, alias, ms since 1970, length and bytes of a key, number of certificates, certificates
 *   certificate  its type as text (version 2 only: "X.509"), length and bytes
 *
 * No I/O, nothing is kept. What certificates and keys hold is not looked into.
 */
#ifndef SBX_WIRE_JKS_H
#define SBX_WIRE_JKS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define JKS_CERTS_MAX 64

struct jks_cert {
	const uint8_t *der; /* borrowed */
	size_t n;
};

struct jks_change {
	const char *alias; /* lower-case ASCII, at most 64 bytes: of the first; then ALIAS.2, ALIAS.3, … */
	const struct jks_cert *certs;
	size_t ncerts; /* at most JKS_CERTS_MAX */
	int64_t now_ms;
};

/* Appends to out the store, whose password must be Java's usual one ("changeit"), without the entries whose aliases begin
 * with the change's, and with its certificates at the end. 1; 0 and nothing where that is what the store holds already;
 * -EINVAL: it is no such store; -EACCES: its password is another one; -ENOMEM, -EMSGSIZE, with out as it was. */
int jks_put(const uint8_t *store, size_t n, const struct jks_change *change, struct buf *out);

#endif
