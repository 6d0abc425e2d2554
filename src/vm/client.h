/* SPDX-License-Identifier: Apache-2.0
 *
 * client: who talks to this supervisor on its socket: the daemon (watch, status, stop, keep, reach, policy, pending, answer, ports), `sbx open` (open-list, open-take, open-done) and each `sbx` with
 * a session (exec, opens). docs/api.md describes the records. The peer's uid must be ours (or root's).
 *
 * An exec's bytes are relayed untouched; memory per session is bounded in both directions: what the client has not
 * taken keeps the guest's window shut, and what the guest has not taken stops our reading of the client.
 */
#ifndef SBX_VM_CLIENT_H
#define SBX_VM_CLIENT_H

#include "vm/machine.h"

#define CLIENT_MAX 1200

/* Starts accepting on m->listen_fd. */
int client_listen(struct machine *m);
/* The machine's state changed: tells watchers. */
void client_notify_all(struct machine *m);
/* What was being saved goes on: programs that were to be started meanwhile are started. */
void client_saved(struct machine *m);
/* The proxy has answered the policies up to turn (netdoor.h): tells those who wait for it. */
void client_policy(struct machine *m, uint64_t turn, int64_t generation, const struct err *err);
/* Tells the client that came last of those that open URLs; event is stolen. False: there is none. */
bool client_offer(struct machine *m, json_t *event);
/* The machine has ended: answers who waits for that and closes everyone once their bytes are out. */
void client_finish_all(struct machine *m);
/* Closes everyone now. */
void client_close_all(struct machine *m);

#endif
