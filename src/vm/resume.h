/* SPDX-License-Identifier: Apache-2.0
 *
 * resume: starts a machine from what save.h wrote, at the point where it stood:
 *
 *   LOADING     QEMU is started and its disks are attached, while sbx-frozen reads the saved memory, compares its digests and
 *               whether it fits this host and version
 *   INCOMING    sbx-fs is started from its state; QEMU loads the state of the devices
 *   CONTINUING  the saved files have another name, so that nothing begins twice from the same memory; `cont`
 *   RETURNING   the guest notices that its control door's host is gone, and opens the door anew (bounded)
 *   WAKING      /wake over a new session: time, random numbers, identity, the doors begin anew
 *   NETWORK     the proxy is started; then the machine runs
 *
 * Up to CONTINUING a failure leaves the saved files as they are: the start fails, and can be tried again. After it the memory
 * is used up, and the sandbox starts from its disk.
 */
#ifndef SBX_VM_RESUME_H
#define SBX_VM_RESUME_H

#include <jansson.h>
#include <stdbool.h>

struct machine;

void resume_begin(struct machine *m);
/* QEMU has loaded the state. */
void resume_loaded(struct machine *m);
/* The proxy is ready. */
void resume_network(struct machine *m);
/* The control door's session ended during the start: another one is tried. */
void resume_door_ended(struct machine *m);
/* The start is over, in whatever way. NULL-safe, as m->resume. */
void resume_free(struct machine *m);

/* The body of /wake; again: the machine is another process than the one that quiesced, and its doors begin anew. */
json_t *resume_wake_request(const struct machine *m, bool again);

#endif
