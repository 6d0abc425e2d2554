/* SPDX-License-Identifier: Apache-2.0
 *
 * ca: one sandbox's certificate authority and what it signs (X.509 v3, RFC 5280; OpenSSL 3).
 *
 *   CA    P-256; CN "sbx sandbox ID"; critical basicConstraints CA, path length 0; critical keyUsage keyCertSign;
 *         extendedKeyUsage serverAuth; two years. When fewer than 30 days are left it is renewed with the same key and
 *         name, so that what was signed by either is trusted by whoever trusts one of them.
 *   leaf  the public key that was given (P-256 or RSA of 2,048 to 4,096 bits); no subject; critical subjectAltName with
 *         exactly one DNS name or address; critical keyUsage digitalSignature; extendedKeyUsage serverAuth; from
 *         24 hours ago for 7 days, and never past the CA's own end
 *   both  a random positive serial of 159 bits; ECDSA with SHA-256
 *
 * The private key lies in OpenSSL's secure heap where there is one (ca_setup), and is wiped when it goes.
 */
#ifndef SBX_KEEPER_CA_H
#define SBX_KEEPER_CA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/own.h"
#include "wire/dest.h"

#define CA_PEM_MAX 8192
#define CA_SPKI_MAX 1024 /* KEEPERMSG_SPKI_MAX */
#define CA_DER_MAX 8192

struct ca;

/* Once, before the process is confined: the secure heap, and everything that OpenSSL loads lazily. */
int ca_setup(struct err *err);
/* Its own seconds since 1970, for tests; NULL: the clock. */
struct ca *ca_new(const char *id, const int64_t *now, struct err *err);
/* What ca_save wrote. ERR_INTERNAL where it is anything but a P-256 CA of this sandbox and its key. */
struct ca *ca_load(const char *id, const char *pem, size_t n, struct err *err);
void ca_free(struct ca *ca);
DEFINE_AUTO(ca, struct ca *, ca_free);

bool ca_is_old(const struct ca *ca, const int64_t *now);
/* The same key and name, a new certificate. */
int ca_renew(struct ca *ca, const int64_t *now, struct err *err);

/* Key and certificate as PEM into dst (in secure memory if that is to be); the length, not terminated. Negative: -errno. */
int ca_save(const struct ca *ca, char *dst, size_t size);
/* The certificate as PEM, terminated. */
int ca_print(const struct ca *ca, char *dst, size_t size);
/* What OpenSSL calls the certificate in a directory of trusted ones (c_rehash): 8 hexadecimal digits of its name, which a
 * renewal keeps; terminated. -ENOMEM, -ENOSPC. */
int ca_hash(const struct ca *ca, char *dst, size_t size);
/* Secure memory for ca_save and ca_load; NULL on -ENOMEM. ca_wipe clears and frees. */
char *ca_memory(size_t n);
void ca_wipe(char *p, size_t n);

struct ca_der {
	uint8_t bytes[CA_DER_MAX];
	size_t n;
};

/* A leaf for exactly this host. ERR_INVALID for a key that is not of the kinds above. */
int ca_sign(struct ca *ca, const struct dest *host, const uint8_t *spki, size_t spki_len, struct ca_der *ret, struct err *err);

#endif
