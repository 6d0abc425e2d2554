/* SPDX-License-Identifier: Apache-2.0
 *
 * tlsf: TLS towards the guest, under a certificate that mint made. One SSL_CTX for the process; what belongs to a host (certificate, the
 * context of its session tickets) is set on each connection, so a host costs no more than its certificate, and a
 * ticket of one host or process is no use with another.
 */
#ifndef SBX_PROXY_TLSF_H
#define SBX_PROXY_TLSF_H

#include <openssl/x509.h>

#include "proxy/tls.h"
#include "wire/dest.h"

#define TLSF_HANDSHAKE_MS 10000

struct tlsf;

/* key: of all certificates, a reference is taken. NULL: out of memory. */
struct tlsf *tlsf_new(EVP_PKEY *key);
void tlsf_free(struct tlsf *f);
/* The ClientHello is still in below. leaf: borrowed for the call. h2: HTTP/2 may be chosen. As tls_start. */
struct tls *tlsf_start(struct tlsf *f, struct dues *dues, X509 *leaf, const struct dest *host, struct chan *below, bool h2,
		       tls_done *done, void *user);
/* Whether ALPN chose HTTP/2. */
bool tls_is_h2(struct chan *c);

#endif
