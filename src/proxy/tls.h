/* SPDX-License-Identifier: Apache-2.0
 *
 * tls: TLS inside a chan, as a chan: tlsf makes it towards the guest, tlsb towards an origin. Only what both have in common is here: the
 * handshake with its deadline, records in and out, close_notify.
 *
 * A peer whose bytes end without close_notify has cut the connection: closed with -ECONNRESET, never an eof. A record is begun only
 * where the carrier below surely takes all of it, so what was not taken of a write may be taken back.
 */
#ifndef SBX_PROXY_TLS_H
#define SBX_PROXY_TLS_H

#include <openssl/ssl.h>

#include "proxy/chan.h"
#include "proxy/due.h"

/* The `why` of a handshake that did not end before its deadline. */
#define TLS_TOO_LONG "the TLS handshake took too long"

struct tls;

/* c: the TLS chan, for chan_own, the handshake is complete. NULL: it failed, why is one line (borrowed until the call returns), verify is
 * OpenSSL's X509_V_ code where it was for the peer's certificate, and the connection below was closed. Once, from the loop. */
typedef void tls_done(void *user, struct chan *c, const char *why, long verify);

/* Begins the handshake; ssl (its role set, no BIO) and below are owned from here on also on failure. NULL: out of memory. */
struct tls *tls_start(struct dues *dues, SSL *ssl, struct chan *below, uint64_t deadline_ms, tls_done *done, void *user);
/* Before done; the connection below is reset. */
void tls_cancel(struct tls *t);
/* Of a chan that tls_done gave; borrowed. */
SSL *tls_ssl(struct chan *c);
/* What every context of ours has: versions, no renegotiation, no compression, small buffers. */
void tls_context(SSL_CTX *ctx);

#endif
