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

/* key: of all certificates, a reference is taken; dues: borrowed; h2: HTTP/2 may be chosen. NULL: out of memory. */
struct tlsf *tlsf_new(EVP_PKEY *key, struct dues *dues, bool h2);
void tlsf_free(struct tlsf *f);
/* The ClientHello is still in below. leaf: borrowed for the call. As tls_start. */
struct tls *tlsf_start(struct tlsf *f, X509 *leaf, const struct dest *host, struct chan *below, tls_done *done, void *user);
/* Whether ALPN chose HTTP/2. */
bool tls_is_h2(struct chan *c);

#endif
