/* SPDX-License-Identifier: Apache-2.0
 *
 * listen: a second way in besides the door: a listening socket (Unix or TCP) of the host, each of whose connections speaks to the
 * forward proxy. Only the owner of the control socket can open one.
 */
#ifndef SBX_PROXY_LISTEN_H
#define SBX_PROXY_LISTEN_H

#include "base/err.h"

#define LISTEN_MAX 4

struct proxy;
struct listens;

struct listens *listens_new(struct proxy *p); /* NULL: out of memory */
void listens_free(struct listens *ls);
/* fd: a listening stream socket, owned, also on failure. */
int listens_add(struct listens *ls, int fd, struct err *err);

#endif
