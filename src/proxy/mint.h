/* SPDX-License-Identifier: Apache-2.0
 *
 * mint: certificates under which this proxy answers for the hosts that a sandbox asks for. One P-256 key for the life of the
 * process, one certificate per host, signed by the keeper (docs/network.md), which alone has the CA's key; the last MINT_CACHE
 * hosts are remembered.
 *
 * The keeper's replies come in the order of the requests, one per request. A reply that does not parse, does not fit what was
 * asked or comes unasked makes the keeper lost: its connection is closed, everything that waits fails, `lost` is called, and until
 * mint_keeper gives a new connection every request for a host that is not remembered fails at once.
 */
#ifndef SBX_PROXY_MINT_H
#define SBX_PROXY_MINT_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <uv.h>

#include "wire/dest.h"

#define MINT_CACHE 1024
#define MINT_PENDING_MAX 256 /* hosts that wait for the keeper */
#define MINT_DEADLINE_MS 5000
#define MINT_MESSAGE_MAX 65536

struct mint;
struct mint_wait;

/* leaf: borrowed until the call returns (X509_up_ref to keep it); NULL with error -ETIMEDOUT, -EPIPE (no keeper), -EACCES (it
 * refused). Never from within mint_get. */
typedef void mint_done(void *user, X509 *leaf, int error);

/* Without a keeper. lost may be NULL; called from the loop. NULL on -ENOMEM. */
struct mint *mint_new(uv_loop_t *loop, void (*lost)(void *user), void *user);
/* Everything that waits is dropped without a call. The memory goes when the loop has run. */
void mint_free(struct mint *m);
/* A connection to the keeper (SOCK_SEQPACKET, attached), owned from here on also on failure; an older one is dropped without a
 * call of `lost`, and what waits for it fails. */
int mint_keeper(struct mint *m, int fd);
/* Whether there is a keeper. */
bool mint_ready(const struct mint *m);

/* The key of all certificates. */
EVP_PKEY *mint_key(const struct mint *m);
/* The remembered certificate, a reference of the caller's, or NULL. */
X509 *mint_find(struct mint *m, const struct dest *host);
/* Asks for the certificate of a host that mint_find does not have; done is called once unless mint_cancel comes first. NULL: out of
 * memory, or MINT_PENDING_MAX wait already. */
struct mint_wait *mint_get(struct mint *m, const struct dest *host, mint_done *done, void *user);
void mint_cancel(struct mint_wait *w);

/* Asks the keeper something else (wire/secretmsg.h), by the same connection: reply is called once, with the reply's bytes, borrowed and
 * wiped after the call, or NULL and error as of mint_done; never from within mint_ask. NULL as of mint_get. */
typedef void mint_reply(void *user, const char *text, size_t n, int error);
struct mint_wait *mint_ask(struct mint *m, const char *question, mint_reply *reply, void *user);
/* Who is told when the keeper says unasked that the secrets have changed; user is mint_new's. */
void mint_on_unasked(struct mint *m, void (*unasked)(void *user, const char *text, size_t n));

#endif
