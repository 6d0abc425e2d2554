/* SPDX-License-Identifier: Apache-2.0
 *
 * tunnel: asks an HTTP proxy, to which a chan is connected, for a tunnel (CONNECT, RFC 9110 9.3.6).
 */
#ifndef SBX_PROXY_TUNNEL_H
#define SBX_PROXY_TUNNEL_H

#include "proxy/chan.h"
#include "proxy/upstream.h"

struct tunnel;
/* chan: owned by the callee, not reading, the tunnel's bytes from here on; NULL: the proxy refused (status) or failed (0). */
typedef void tunnel_done(void *user, struct chan *chan, int status);

/* Takes chan over, also on failure (NULL: out of memory). target as the proxy is to read it. done is called once, from the loop; the caller has
 * a deadline of its own. */
struct tunnel *tunnel_start(struct chan *chan, const struct upstream_proxy *proxy, const struct dest *target,
			    tunnel_done *done, void *user);
void tunnel_cancel(struct tunnel *t);

#endif
