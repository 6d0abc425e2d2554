/* SPDX-License-Identifier: Apache-2.0
 *
 * keeperlink: a connection to sbx-keeper that is this sandbox's. It is kept by sbx-vm or handed to sbx-proxy
 * (descriptor 5, or the control message "keeper"), which then asks for leaf certificates (wire/keepermsg.h).
 */
#ifndef SBX_VM_KEEPERLINK_H
#define SBX_VM_KEEPERLINK_H

#include <jansson.h>
#include <uv.h>

#include "base/err.h"
#include "wire/keepermsg.h"

/* Connects to RUNTIME/keeper.sock, starts this build's sbx-keeper (under a lock) where nobody answers, and attaches.
 * Returns a SOCK_SEQPACKET descriptor (blocking, CLOEXEC, owned by the caller) and *ret_ca, the sandbox's CA
 * certificate as PEM (owned), with the name that OpenSSL has for it in ret_hash ("" from a keeper that does not say); negative
 * with err. Blocks: for a millisecond where a keeper runs, for a tenth of a second
 * where one is started, and never longer than 30 seconds.
 * signins: what can be signed in at inside (wire/oauthdef.h), NULL: nothing. The keeper is told before anybody else has the connection.
 * ret_signed_in: the sign-ins that are in force, an object (owned): by name {"access","refresh","id"}, what the guest is to have ("": none); may be NULL. */
int keeperlink_attach(const char *sandbox_id, const json_t *signins, char **ret_ca, char ret_hash[KEEPERMSG_HASH], json_t **ret_signed_in,
		      struct err *err);

struct keeperlink_got {
	int fd;                       /* owned by the callee, as the rest */
	char *ca;
	char ca_hash[KEEPERMSG_HASH];
	json_t *signed_in;
};
/* got: NULL where it failed, and err says why (borrowed for the call). */
typedef void keeperlink_done(void *user, struct keeperlink_got *got, const struct err *err);

/* The same from a loop that must not wait: a thread of libuv's waits. done is called once, from the loop, unless keeperlink_cancel comes
 * first; then the thread ends at once, and the loop, which is still to run, frees what is left. NULL: out of memory. */
struct keeperlink_try;
struct keeperlink_try *keeperlink_start(uv_loop_t *loop, const char *sandbox_id, const json_t *signins, keeperlink_done *done, void *user);
void keeperlink_cancel(struct keeperlink_try *t);

#endif
