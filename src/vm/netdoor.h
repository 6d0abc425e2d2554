/* SPDX-License-Identifier: Apache-2.0
 *
 * netdoor: the host's side of the network door as the supervisor sees it: `sbx-proxy` in its jail, what it is told, and
 * its successor when it dies. The machine never ends because of it: while there is no proxy, nothing leaves.
 *
 *   state     enters by                            valid           leaves by
 *   ATTACHING netdoor_new, RESTING's timer         nothing         the keeper's answer, or a bounded time without one
 *   STARTING  ATTACHING                            pid, ctl        the proxy is ready; its end
 *   READY     "ready", and the policy was taken    pid, ctl        its end; a policy it does not answer in time (killed)
 *   RESTING   the proxy's end                      nothing         ATTACHING: a second after its last start or later (the
 *                                                                  sooner it dies the longer), and once the guest has
 *                                                                  opened its end of the port anew, or a bounded time
 *
 * Only READY is ever reported; a proxy that ends before it was ready for the first time fails the machine's start.
 */
#ifndef SBX_VM_NETDOOR_H
#define SBX_VM_NETDOOR_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "base/err.h"
#include "vm/spec.h"

struct netdoor;

/* Called from the loop only. err is borrowed for the call. */
struct netdoor_ops {
	void (*ready)(void *user);                        /* for the first time: the guest may use the network */
	void (*failed)(void *user, const struct err *err); /* instead of ready; nothing follows */
	/* The proxy has answered the policies up to this turn: err NULL and its generation, or why it refused the last. */
	void (*policy)(void *user, uint64_t turn, int64_t generation, const struct err *err);
	void (*changed)(void *user); /* pid, problem or the number of questions */
};

/* Starts the proxy on a connection of the socket behind path_fd (netsock.h; owned from here on, even on failure). */
struct netdoor *netdoor_new(uv_loop_t *loop, const struct spec *spec, int path_fd, const struct netdoor_ops *ops, void *user,
			    struct err *err);
/* Kills the proxy and waits for its end; no callback any more. The memory goes later, from the loop. NULL is allowed. */
void netdoor_free(struct netdoor *n);

bool netdoor_is_ready(const struct netdoor *n);
/* The proxy's number on the host, 0 while there is none. */
pid_t netdoor_pid(const struct netdoor *n);
/* What the guest is to trust, as PEM, borrowed: the sandbox's CA certificate where the keeper could be reached, and those of
 * network.extraCaFile; NULL: nothing. */
const char *netdoor_ca(const struct netdoor *n);
/* What OpenSSL calls the sandbox's own CA in a directory, borrowed; NULL: it is not in netdoor_ca. */
const char *netdoor_ca_hash(const struct netdoor *n);
/* The sign-ins that are in force for the sandbox, as of keeperlink.h, borrowed; NULL: not known. */
const json_t *netdoor_signed_in(const struct netdoor *n);
/* What does not work, in words; NULL where all is well. Borrowed until the loop runs. */
const char *netdoor_problem(const struct netdoor *n);
/* The guest has opened or closed its end of the port (QEMU's event VSERPORT_CHANGE). */
void netdoor_guest_port(struct netdoor *n, bool open);

/* Reads the policy again and passes it on. *ret_turn: which call of ops.policy answers. -ENOENT: no policy, etc. */
int netdoor_policy(struct netdoor *n, uint64_t *ret_turn, struct err *err);
/* The questions that wait for the user, the oldest first, as many as fit into a record: a new array of what the proxy
 * said of each. */
json_t *netdoor_pending(const struct netdoor *n);
size_t netdoor_asks(const struct netdoor *n);
int netdoor_answer(struct netdoor *n, json_int_t ask, bool allow, struct err *err);

#endif
