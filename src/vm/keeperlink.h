/* SPDX-License-Identifier: Apache-2.0
 *
 * keeperlink: a connection to sbx-keeper that is this sandbox's. It is kept by sbx-vm or handed to sbx-proxy
 * (descriptor 5, or the control message "keeper"), which then asks for leaf certificates (wire/keepermsg.h).
 */
#ifndef SBX_VM_KEEPERLINK_H
#define SBX_VM_KEEPERLINK_H

#include <jansson.h>

#include "base/err.h"
#include "wire/keepermsg.h"

/* Connects to RUNTIME/keeper.sock, starts this build's sbx-keeper (under a lock) where nobody answers, and attaches.
 * Returns a SOCK_SEQPACKET descriptor (blocking, CLOEXEC, owned by the caller) and *ret_ca, the sandbox's CA
 * certificate as PEM (owned), with the name that OpenSSL has for it in ret_hash ("" from a keeper that does not say); negative
 * with err. Blocks: for a millisecond where a keeper runs, for a tenth of a second
 * where one is started, and never longer than 30 seconds. Uses SIGALRM while it runs.
 * signins: what can be signed in at inside (wire/oauthdef.h), NULL: nothing. The keeper is told before anybody else has the connection.
 * ret_signed_in: the names of the sign-ins that are in force, an array (owned); may be NULL. */
int keeperlink_attach(const char *sandbox_id, const json_t *signins, char **ret_ca, char ret_hash[KEEPERMSG_HASH], json_t **ret_signed_in,
		      struct err *err);

#endif
