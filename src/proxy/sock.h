/* SPDX-License-Identifier: Apache-2.0
 *
 * sock: a connected stream socket (TCP or Unix) as a chan.
 */
#ifndef SBX_PROXY_SOCK_H
#define SBX_PROXY_SOCK_H

#include <uv.h>

#include "proxy/chan.h"

/* fd is made non-blocking and is owned from here on, even on failure. NULL: out of memory or no socket. */
struct chan *sock_new(uv_loop_t *loop, struct turn *turn, int fd);

#endif
