/* SPDX-License-Identifier: Apache-2.0
 *
 * tlsb: TLS towards an origin. Its certificate must be good for exactly the host that the guest asked for, by the subject's
 * alternative names alone, up to a certificate of the trust store; nothing is sent before that is known. Sessions are kept by
 * destination for resumption, in this process only.
 */
#ifndef SBX_PROXY_TLSB_H
#define SBX_PROXY_TLSB_H

#include "proxy/tls.h"
#include "wire/dest.h"

#define TLSB_HANDSHAKE_MS 10000
#define TLSB_SESSIONS_MAX 128
#define TLSB_TRUST_MAX (8U << 20) /* bytes of PEM */

struct tlsb;

/* dues: borrowed. NULL: out of memory. */
struct tlsb *tlsb_new(struct dues *dues);
void tlsb_free(struct tlsb *b);
/* The certificates to trust, PEM, owned from here on; read when the first connection is made. Before that none is trusted. */
void tlsb_trust(struct tlsb *b, int fd);
/* h2: HTTP/2 is offered, before HTTP/1.1. As tls_start. */
struct tls *tlsb_start(struct tlsb *b, const struct dest *dest, struct chan *below, bool h2, tls_done *done, void *user);

#endif
