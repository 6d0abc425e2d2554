/* SPDX-License-Identifier: Apache-2.0
 *
 * callback: the end of a sign-in. The browser of this host is sent to http://localhost:PORT/PATH, where the program in the sandbox waits that
 * had the URL opened. For at most ten minutes the host listens there, and lets one request through to that port of this one sandbox: a GET for
 * exactly that path and that host, as a browser's address bar makes it (no Origin, no fetch from a page). What goes through is a request of
 * our own with the path and query of the browser's and nothing else of it: no cookie, no second request behind it. The answer goes back as it
 * comes, if it is one (2xx to 5xx), with two fields of ours before its own: no script of the sandbox's runs as this host's localhost, and
 * nothing follows it on the connection. Everything else is answered here. Once the program has answered with 2xx or 3xx, further pages get a
 * word of ours for ten seconds, and then it is over; but where it redirects the browser to itself, that goes through as well, once: some wait for it.
 */
#ifndef SBX_VM_CALLBACK_H
#define SBX_VM_CALLBACK_H

#include <uv.h>

#include "base/err.h"
#include "vm/door.h"
#include "wire/openurl.h"

#define CALLBACK_CONNECTIONS 8
#define CALLBACK_HEAD_MAX 16384
#define CALLBACK_TRIES 16 /* requests that go through, whatever the program says to them */
#define CALLBACK_MS (10 * 60 * 1000)

struct callback;

struct callback_ops {
	/* It is over, from the loop, once; callback_free it. */
	void (*over)(void *user, struct callback *c);
};

/* Listens. door and ops are borrowed. NULL with err: ERR_CONFLICT names the port that is taken. */
struct callback *callback_new(uv_loop_t *loop, struct door *door, const struct openurl_callback *where, const struct callback_ops *ops,
			      void *user, struct err *err);
uint16_t callback_port(const struct callback *c);
/* Closes everything; `over` is not called any more. The memory goes later, from the loop. NULL is allowed. */
void callback_free(struct callback *c);

#endif
