/* SPDX-License-Identifier: Apache-2.0
 *
 * proxy: sbx-proxy, the one process of a sandbox that has a network (docs/network.md). Holds the modules together; single
 * thread, one loop. Started by sbx-vm with descriptors: 3 the door, 4 the control socket, 5 the keeper.
 */
#ifndef SBX_PROXY_PROXY_H
#define SBX_PROXY_PROXY_H

#include <jansson.h>
#include <stdbool.h>
#include <uv.h>

#include "base/err.h"
#include "proxy/turn.h"

struct proxy {
	uv_loop_t *loop;
	struct turn turn;
	struct journal *journal;
	struct decide *decide;
	struct resolve *resolve;
	struct route *route;
	struct dials *dials;
	struct listens *listens;
	struct intercept *intercept;
	struct upstream *upstream; /* the host's own proxies; never NULL */
	struct conns *conns;     /* what came in (entry) */
	struct front *front;
	struct control *control;
	bool ending;
};

/* Never returns an error to a caller that could go on: the process's exit code. */
int proxy_main(int argc, char **argv);
/* Ends in order: every connection is cut, its end is logged, the loop runs out. */
void proxy_end(struct proxy *p, const char *why);
/* Tells sbx-vm something: an event object, released here. */
void proxy_event(struct proxy *p, json_t *event);

#endif
